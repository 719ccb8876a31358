/* sensors.c - a few small files of the system, found once and read again. */
#include "engine/run/sensors.h"
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a small file; false: it is not there or may not be read. */
static bool line_of(char out[64], const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, out, 63) : -1;
    if (fd >= 0) close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    return n > 0;
}

static double number_of(const char *path)
{
    char line[64], *end;
    if (!line_of(line, path)) return NAN;
    double v = strtod(line, &end);
    return end > line && *end == 0 && isfinite(v) ? v : NAN;
}

static bool holds(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0) return true;
    return false;
}

/* ---- temperature ---- */

/* A chip's whole package where its labels tell, else its first sensor. */
static void package_sensor(char out[320], const char *chip)
{
    static const char *const labels[] = {"Package id 0", "Tctl", "Tdie", "CPU Temperature"};
    char path[320], line[64];
    out[0] = 0;
    for (int i = 1; i <= 16; i++) {
        snprintf(path, sizeof path, "%.300s/temp%d_label", chip, i);
        bool named = line_of(line, path) && holds(labels, COUNT(labels), line);
        snprintf(path, sizeof path, "%.300s/temp%d_input", chip, i);
        if (isnan(number_of(path)) || (out[0] && !named)) continue;
        snprintf(out, 320, "%s", path);
        if (named) return;
    }
}

static bool is_processor_chip(const char *name)
{
    static const char *const chips[] = {"coretemp", "k10temp",     "zenpower", "k8temp",
                                        "cpu",      "cpu_thermal", "fam15h",   "via_cputemp"};
    return holds(chips, COUNT(chips), name);
}

static bool is_processor_zone(const char *name)
{
    static const char *const zones[] = {"x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc_thermal",
                                        "TCPU"};
    return holds(zones, COUNT(zones), name);
}

/* The first entry of a class whose `name` file holds a word that counts. */
static bool find_in(char out[300], const char *root, const char *class, const char *file,
                    bool (*counts)(const char *name))
{
    char path[300], line[64];
    snprintf(path, sizeof path, "%.200s/class/%s", root, class);
    DIR *d = opendir(path);
    bool found = false;
    for (struct dirent *e; d && !found && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%.200s/class/%s/%.40s/%s", root, class, e->d_name, file);
        found = line_of(line, path) && counts(line);
        if (found) snprintf(out, 300, "%.200s/class/%s/%.40s", root, class, e->d_name);
    }
    if (d) closedir(d);
    return found;
}

static void find_temperature(struct sensors *s, const char *root)
{
    char entry[300];
    s->temperature[0] = 0;
    if (find_in(entry, root, "hwmon", "name", is_processor_chip))
        package_sensor(s->temperature, entry);
    if (!s->temperature[0] && find_in(entry, root, "thermal", "type", is_processor_zone))
        snprintf(s->temperature, sizeof s->temperature, "%s/temp", entry);
}

/* ---- power ---- */

static void find_packages(struct sensors *s, const char *root)
{
    s->n_packages = 0;
    for (int i = 0; i < SENSOR_PACKAGES; i++) {
        char path[320], line[64];
        snprintf(path, sizeof path, "%.200s/class/powercap/intel-rapl:%d/name", root, i);
        if (!line_of(line, path) || strncmp(line, "package", 7) != 0) continue;
        int n = s->n_packages++;
        snprintf(s->packages[n].file, sizeof s->packages[n].file,
                 "%.200s/class/powercap/intel-rapl:%d/energy_uj", root, i);
        snprintf(path, sizeof path, "%.200s/class/powercap/intel-rapl:%d/max_energy_range_uj", root,
                 i);
        s->packages[n].range = number_of(path);
    }
}

void sensors_find(struct sensors *s, const char *root)
{
    *s = (struct sensors){.read_at = 0};
    find_temperature(s, root);
    find_packages(s, root);
}

/* The sum over the packages; a counter that went round adds its range. */
static double watts(struct sensors *s, double now)
{
    double joules = 0, seconds = now - s->read_at;
    bool first = s->read_at == 0, all = s->n_packages > 0;
    for (int i = 0; i < s->n_packages; i++) {
        double v = number_of(s->packages[i].file), more = v - s->packages[i].last;
        if (more < 0) more += s->packages[i].range;
        all = all && more >= 0; /* and no NaN */
        joules += more / 1e6;
        s->packages[i].last = v;
    }
    s->read_at = now;
    return all && !first && seconds > 0 ? joules / seconds : NAN;
}

struct sensor_readings sensors_read(struct sensors *s, double now)
{
    double thousandths = s->temperature[0] ? number_of(s->temperature) : NAN;
    return (struct sensor_readings){thousandths / 1000, watts(s, now)};
}
