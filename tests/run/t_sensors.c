/* t_sensors.c - temperature and power from a folder made like the system's, and from none. */
#include "tests/test.h"
#include "engine/run/sensors.h"
#include <math.h>
#include <stdlib.h>

static struct arena arena;
static char root[64];

static int begin(void **s)
{
    (void)s;
    arena = arena_make(0);
    snprintf(root, sizeof root, "/tmp/hone-sensors-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **s)
{
    struct err err;
    (void)s;
    arena_drop(&arena);
    return dir_remove(root, &err) ? 0 : -1;
}

static void put(const char *name, const char *text)
{
    struct err err;
    const char *path = path_join(&arena, root, name);
    assert_true(dir_make(path_dir(&arena, path), &err));
    assert_true(file_replace(path, text_of(text), &err));
}

static void what_does_not_exist_is_no_reading(void **s)
{
    (void)s;
    struct sensors x;
    sensors_find(&x, root);
    struct sensor_readings r = sensors_read(&x, 10);
    assert_true(isnan(r.celsius) && isnan(r.watts));
    sensors_find(&x, "/no/such/folder");
    r = sensors_read(&x, 10);
    assert_true(isnan(r.celsius) && isnan(r.watts));
    put("class/hwmon/hwmon0/name", "nvme\n");
    put("class/hwmon/hwmon0/temp1_input", "40000\n");
    put("class/powercap/intel-rapl:0/name", "psys\n");
    put("class/powercap/intel-rapl:0/energy_uj", "1\n");
    sensors_find(&x, root);
    r = sensors_read(&x, 10);
    assert_true(isnan(r.celsius) && isnan(r.watts));
}

static void the_package_is_what_is_read(void **s)
{
    (void)s;
    struct sensors x;
    put("class/hwmon/hwmon1/name", "coretemp\n");
    put("class/hwmon/hwmon1/temp1_label", "Core 0\n");
    put("class/hwmon/hwmon1/temp1_input", "41000\n");
    put("class/hwmon/hwmon1/temp2_label", "Package id 0\n");
    put("class/hwmon/hwmon1/temp2_input", "61500\n");
    sensors_find(&x, root);
    assert_true(sensors_read(&x, 1).celsius == 61.5);
    put("class/hwmon/hwmon1/temp2_input", "62000\n");
    assert_true(sensors_read(&x, 2).celsius == 62);
    put("class/hwmon/hwmon1/temp2_input", "hot\n");
    assert_true(isnan(sensors_read(&x, 3).celsius));
}

static void a_zone_of_the_processor_will_do(void **s)
{
    (void)s;
    struct sensors x;
    put("class/thermal/thermal_zone0/type", "acpitz\n");
    put("class/thermal/thermal_zone0/temp", "20000\n");
    put("class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
    put("class/thermal/thermal_zone1/temp", "55000\n");
    sensors_find(&x, root);
    assert_true(sensors_read(&x, 1).celsius == 55);
}

static void power_is_energy_over_time_of_all_packages(void **s)
{
    (void)s;
    struct sensors x;
    put("class/powercap/intel-rapl:0/name", "package-0\n");
    put("class/powercap/intel-rapl:0/energy_uj", "1000000\n");
    put("class/powercap/intel-rapl:0/max_energy_range_uj", "5000000\n");
    put("class/powercap/intel-rapl:1/name", "package-1\n");
    put("class/powercap/intel-rapl:1/energy_uj", "0\n");
    put("class/powercap/intel-rapl:1/max_energy_range_uj", "5000000\n");
    sensors_find(&x, root);
    assert_true(isnan(sensors_read(&x, 100).watts)); /* nothing to compare with */
    put("class/powercap/intel-rapl:0/energy_uj", "3000000\n");
    put("class/powercap/intel-rapl:1/energy_uj", "1000000\n");
    assert_true(sensors_read(&x, 102).watts == 1.5); /* 3 J in 2 s */
    put("class/powercap/intel-rapl:0/energy_uj", "1000000\n"); /* round its end: 3 J more */
    assert_true(sensors_read(&x, 103).watts == 3);
    put("class/powercap/intel-rapl:1/energy_uj", "\n");
    assert_true(isnan(sensors_read(&x, 104).watts));
}

int main(void)
{
#define SENSOR(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        SENSOR(what_does_not_exist_is_no_reading),
        SENSOR(the_package_is_what_is_read),
        SENSOR(a_zone_of_the_processor_will_do),
        SENSOR(power_is_energy_over_time_of_all_packages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
