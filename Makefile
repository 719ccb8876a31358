# make           build/hone, build/hone-cpu.so, and build/hone-cuda.so where nvcc is found
# make run       installs what is missing by package name, builds, opens the workbench
# make test      installs the test tools too, then all tests     make test T=pack: only names with "pack"
# make check     layers, tidiness, warnings from both compilers
# make nightly   the long versions of the promises' tests (tests/promises.md), fuzzing, sabotage, mutants
# make asan tsan the tests under sanitizers                      make bench, bench-peers: speed, as ratios
# make test-real tests with a real model (fetched by package name)   make test-peft: against torch and PEFT
# make fuzz T=json S=600: a harness of tests/fuzz for ten minutes (all of them, 15 s each, without T and S)
# make sabotage  plants known faults in a copy: each must turn a test red   make mutants T=json N=50: small changes
# make install PREFIX=/usr/local, make uninstall, make clean     V=1 shows the commands
CC      ?= gcc
CFLAGS  ?= -O2 -g
WARN     = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wno-overlength-strings
SAFE     = -fstack-protector-strong -D_FORTIFY_SOURCE=2
comma   := ,
VERSION := 0.1.0
B        = build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
FLAGS    = -std=c11 -D_GNU_SOURCE -I. $(WARN) -fno-common -fPIC -MMD -MP -DHONE_VERSION='"$(VERSION)"' \
           $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer,$(SAFE))
LDFLAGS  = $(if $(SAN),-fsanitize=$(SAN),-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
LIBS     = -lncursesw -ltinfo -lyaml -ljansson -lpcre2-8 -lutf8proc -lxxhash -ldl -lm -lpthread
PREFIX  ?= /usr/local
D        = $(DESTDIR)$(PREFIX)
Q        = @$(if $(V),,echo "  $(1)	$@" &&)

# A layer is a folder; a test of layer N links the layers up to N, so the order is proved by the linker too.
LAYERS   = base kernels format data model run serve tui
base     = engine/base
kernels  = kernels kernels/ref
format   = engine/format
data     = engine/data
model    = engine/model
run      = engine/run
serve    = engine/serve
tui      = tui
lower    = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(call lower,$(1),$(wordlist 2,99,$(2))))
archives = $(foreach l,$(call reverse,$(call lower,$(1),$(LAYERS))),$B/$(l).a)
reverse  = $(if $(1),$(call reverse,$(wordlist 2,99,$(1))) $(firstword $(1)))

all: $B/hone $B/hone-cpu.so

define layer
$B/$(1).a: $(patsubst %.c,$B/%.o,$(filter-out tui/main.c,$(foreach d,$($(1)),$(sort $(wildcard $(d)/*.c)))))
	$$(call Q,AR)rm -f $$@ && ar rcs $$@ $$^
$B/tests/$(1)/%: $B/tests/$(1)/%.o $(call archives,$(1)) | $B/hone-cpu.so
	$$(call Q,LD)$$(CC) -o $$@ $$< -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(LDFLAGS) -rdynamic -lcmocka -lvterm -lutil $$(LIBS)
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$(l))))

$B/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(FLAGS) -c -o $@ $<
$B/hone: $B/tui/main.o $(call archives,tui)
	$(call Q,LD)$(CC) -o $@ $< $(filter %.a,$^) $(LDFLAGS) $(LIBS)

# The CPU backend: every file once for each instruction set, chosen when it is loaded.
ISAS       = avx2 avx512 avx512bf16
avx2       = -march=x86-64-v3
avx512     = -march=x86-64-v4 -mprefer-vector-width=512
avx512bf16 = -march=x86-64-v4 -mavx512bf16 -mprefer-vector-width=512
CPU_ONCE  := kernels/cpu/load.c kernels/cpu/device.c
CPU_ISA   := $(filter-out $(CPU_ONCE),$(wildcard kernels/cpu/*.c))
define isa
$B/%.$(1).o: %.c Makefile
	@mkdir -p $$(@D)
	$$(call Q,CC)$$(CC) $$(FLAGS) -O3 -ffp-contract=fast $$($(1)) -DISA=$(1) -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call isa,$(i))))
$B/hone-cpu.so: $(foreach i,$(ISAS),$(CPU_ISA:%.c=$B/%.$(i).o)) $(CPU_ONCE:%.c=$B/%.o) $B/kernels/sizes.o $B/kernels/pool.o
	$(call Q,LD)$(CC) -shared -o $@ $^ $(if $(SAN),-fsanitize=$(SAN)) -lm -lpthread

include kernels/cuda/cuda.mk

LIBRARY = $B/tests/bench/library.o $B/tests/bench/timed.o
$B/tests/bench/bench_ops: $B/tests/bench/bench_ops.o $(LIBRARY) $B/kernels.a | $B/hone-cpu.so
	$(call Q,LD)$(CC) -o $@ $(filter %.o %.a,$^) $(LDFLAGS) -ldnnl -ldl -lm -lpthread
$B/tests/bench/bench_step: $B/tests/bench/bench_step.o $(LIBRARY) $(call archives,model) | $B/hone-cpu.so
	$(call Q,LD)$(CC) -o $@ $(filter %.o %.a,$^) $(LDFLAGS) -ldnnl $(LIBS)
$B/tests/bench/bench_tokenizer: $B/tests/bench/bench_tokenizer.o $(call archives,format)
	$(call Q,LD)$(CC) -o $@ $(filter %.o %.a,$^) $(LDFLAGS) $(LIBS)

$B/tests/fuzz/%: $B/tests/fuzz/%.o $B/tests/fuzz/fuzz.o $(call archives,tui)
	$(call Q,LD)$(CC) -o $@ $(filter %.o %.a,$^) -fsanitize=fuzzer -Wl,--wrap=unicode_make $(LDFLAGS) $(LIBS)

TESTS := $(foreach l,$(LAYERS) cuda,$(patsubst %.c,$B/%,$(wildcard tests/$(l)/t_*.c)))
PICK   = $(if $(T),$(foreach t,$(TESTS),$(if $(strip $(foreach w,$(T),$(findstring $(w),$(t)))),$(t))),$(TESTS))
tests: all $(PICK)

J = -j$$(nproc 2>/dev/null || echo 1)
run: ; @sh tests/install.sh build && $(MAKE) -s $(J) all && sh tests/open.sh
test: ; @sh tests/install.sh test && $(MAKE) -s $(J) tests T="$(T)" && B=$B T="$(T)" sh tests/run.sh
test-real test-peft bench bench-peers check nightly: %: ; @sh tests/install.sh test && $(MAKE) -s all && B=$B sh tests/$*.sh
asan: ; @$(MAKE) -s SAN=address$(comma)undefined CFLAGS="-O1 -g" test T="$(T)"
tsan: ; @$(MAKE) -s SAN=thread CC=clang CFLAGS="-O1 -g" test T="$(T)"
fuzz: ; @sh tests/install.sh test && B=$B sh tests/fuzz.sh $(or $(T),all) $(or $(S),15)
sabotage: ; @sh tests/install.sh test && $(MAKE) -s all && B=$B python3 tests/sabotage.py $(T)
mutants: ; @sh tests/install.sh test && $(MAKE) -s all && B=$B python3 tests/mutants.py $(T) $(or $(N),300)
clean: ; rm -rf build
install: all
	install -d $(D)/bin $(D)/lib/hone $(D)/share/hone $(D)/share/man/man1 $(D)/share/bash-completion/completions
	install $B/hone $(D)/bin && install -m 644 $B/hone-cpu.so $(wildcard $B/hone-cuda.so) $(D)/lib/hone
	cp -r assets profiles $(D)/share/hone && install -m 644 assets/hone.1 $(D)/share/man/man1
	install -m 644 assets/hone.bash $(D)/share/bash-completion/completions/hone
uninstall:
	rm -rf $(D)/bin/hone $(D)/lib/hone $(D)/share/hone $(D)/share/man/man1/hone.1 $(D)/share/bash-completion/completions/hone

-include $(shell find $B -name '*.d' 2>/dev/null)
.PHONY: all run tests test test-real test-peft bench bench-peers check nightly asan tsan fuzz sabotage mutants install uninstall clean
.SECONDARY:
