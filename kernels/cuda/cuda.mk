# cuda.mk - the plug-in hone-cuda.so, where a toolkit is found (CUDA_HOME, the PATH, the usual place), and its twin of
# the tests: the same host objects with fakes in place of the libraries, and the kernels as C++ on fibers of the CPU.
NVCC       := $(firstword $(wildcard $(addsuffix /bin/nvcc,$(CUDA_HOME)) $(addsuffix /nvcc,$(subst :, ,$(PATH))) /usr/local/cuda/bin/nvcc))
CUDA_ROOT  := $(patsubst %/bin/nvcc,%,$(NVCC))
CUDA_HOST  := $(patsubst %.c,$B/%.o,$(wildcard kernels/cuda/*.c))
CUDA_CODE  := $(wildcard kernels/cuda/*.cu)
CUDA_START  = $(firstword $(wildcard $(addprefix $(CUDA_ROOT)/,lib64/libcudart_static.a lib/libcudart_static.a targets/*/lib/libcudart_static.a)))
# What this nvcc knows of the architectures that are built for, and PTX for those that come.
CUDA_WANTED = 80 86 89 90 100 120
CUDA_KNOWN  = $(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch))
CUDA_ARCHS  = $(foreach a,$(filter $(CUDA_KNOWN),$(CUDA_WANTED)),-gencode arch=compute_$(a:90=90a),code=sm_$(a:90=90a)) \
              -gencode arch=compute_80,code=compute_80
CXXFLAGS_OF = $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)

# Three minutes of a core, once; not under sanitizers, where make check looks for warnings, nor in side folders (build-*).
# Where this nvcc or its compiler cannot, hone is built without it and says so.
all: $(if $(NVCC),$(if $(SAN)$(filter build-%,$B)$(findstring /check-,$B),,cuda-plug-in))
cuda-plug-in: ; @$(MAKE) -s B=$B $B/hone-cuda.so || echo "  $B/hone-cuda.so could not be built; hone works without it, on the processor"
$B/kernels/cuda/%.o: FLAGS += -isystem $(CUDA_ROOT)/include
$B/kernels/cuda/%.cu.o: kernels/cuda/%.cu kernels/cuda/cuda.mk
	@mkdir -p $(@D)
	$(call Q,NVCC)$(NVCC) -t 0 -std=c++17 -O3 -I. -Xcompiler -fPIC -MMD -MF $(@:.o=.d) -MT $@ $(CUDA_ARCHS) -c -o $@ $<
$B/hone-cuda.so: $(CUDA_CODE:%=$B/%.o) $(CUDA_HOST) $B/kernels/library.o $B/kernels/sizes.o
	$(call Q,LD)$(CXX) -shared -o $@ $^ $(CUDA_START) -static-libstdc++ -static-libgcc -ldl -lrt -lpthread

# ---- on the CPU: build/cuda/ref does the operations by kernels/ref, build/cuda/fibers by the kernels themselves ----
FAKE_FLAGS = -std=c++17 -O2 -g -I. -isystem $(CUDA_ROOT)/include -Wall -Wextra -fPIC -MMD -MP $(CXXFLAGS_OF)
$B/tests/cuda/%.o: tests/cuda/%.cc kernels/cuda/cuda.mk
	@mkdir -p $(@D)
	$(call Q,CXX)$(CXX) $(FAKE_FLAGS) -c -o $@ $<
$B/tests/cuda/%.cu.o: kernels/cuda/%.cu kernels/cuda/cuda.mk
	@mkdir -p $(@D)
	$(call Q,CXX)$(CXX) $(FAKE_FLAGS) -fno-strict-aliasing -include tests/cuda/shim.h -x c++ -c -o $@ $<
FAKE_START = $B/tests/cuda/fake_cudart.o $(CUDA_HOST) $B/kernels/library.o $B/kernels/sizes.o
FAKE_LINK  = -shared -Wl,-soname,hone-cuda.so -Wl,-Bsymbolic $(CXXFLAGS_OF) -ldl -lpthread
$B/cuda/ref/hone-cuda.so: $B/tests/cuda/by_reference.o $(patsubst %.c,$B/%.o,$(filter-out %/device.c,$(wildcard kernels/ref/*.c))) $(FAKE_START)
	@mkdir -p $(@D)
	$(call Q,LD)$(CXX) -o $@ $^ $(FAKE_LINK) -lm
$B/cuda/fibers/hone-cuda.so: $(CUDA_CODE:kernels/%=$B/tests/%.o) $B/tests/cuda/shim.o $(FAKE_START)
	@mkdir -p $(@D)
	$(call Q,LD)$(CXX) -o $@ $^ $(FAKE_LINK)
# The libraries that the twins find by HONE_CUDA; cuBLASLt queues on the cudart of the twin that loads it.
$B/cuda/lib/libcublasLt.so.13: $B/tests/cuda/fake_cublaslt.o $B/cuda/ref/hone-cuda.so
	@mkdir -p $(@D)
	$(call Q,LD)$(CXX) -shared -o $@ $^ $(CXXFLAGS_OF) -Wl,-rpath,'$$ORIGIN/../ref'
$B/cuda/lib/%: tests/cuda/fake_versions.c
	@mkdir -p $(@D)
	$(call Q,LD)$(CC) $(FLAGS) -MF $@.d -shared -o $@ $<
# (ThreadSanitizer does not see fibers: there the twins are left out.)
TWINS = $(if $(NVCC),$(if $(findstring thread,$(SAN)),,yes))
FAKES = $(if $(TWINS),$B/cuda/ref/hone-cuda.so $(addprefix $B/cuda/lib/,libcublasLt.so.13 libcuda.so.1 libnvidia-ml.so.1 libcudnn.so.9 libnccl.so.2))
# The model's own tests, on the twins.
$B/tests/cuda/%_twin.o: tests/model/t_%.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC)$(CC) $(FLAGS) -DBACKENDS='"cuda"' -c -o $@ $<
$B/tests/cuda/t_%.o: FLAGS += $(if $(TWINS),-DHONE_TOOLKIT)
$B/tests/cuda/%: $B/tests/cuda/%.o $(call archives,run) | $B/hone-cpu.so $(FAKES)
	$(call Q,LD)$(CC) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDFLAGS) -rdynamic -lcmocka $(LIBS)
cuda-here: ; @echo $(or $(TWINS),no)
cuda-twins: $(FAKES) $B/cuda/fibers/hone-cuda.so $(addprefix $B/tests/cuda/,golden_twin model_twin t_step) $B/hone $B/hone-cpu.so
.PHONY: cuda-here cuda-twins cuda-plug-in

# ---- for a GPU machine: tests/gpu/run.sh ----
$B/tests/gpu/operations.o: FLAGS += -isystem $(CUDA_ROOT)/include
$B/tests/gpu/operations: $B/tests/gpu/operations.o $(call archives,kernels)
	$(call Q,LD)$(CXX) -o $@ $(filter %.o %.a,$^) $(LDFLAGS) $(CUDA_START) -lcmocka -ldl -lm -lrt -lpthread
$B/tests/gpu/measure: $B/tests/gpu/measure.o $(call archives,model)
	$(call Q,LD)$(CC) -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDFLAGS) $(LIBS)
