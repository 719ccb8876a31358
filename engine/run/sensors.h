/* sensors.h - how warm this machine's processor is and what it draws, where the system says so.
 *
 * Temperature: the package's sensor below class/hwmon (coretemp, k10temp, ...), else a thermal zone
 * of the processor. Power: the energy counters of the packages below class/powercap, over the time
 * between two readings; many systems let only root read them. A reading that does not exist is NaN,
 * never 0. Nothing here waits, and nothing is allocated. */
#ifndef HONE_SENSORS_H
#define HONE_SENSORS_H
#include "engine/base/base.h"

#define SENSOR_PACKAGES 8
struct sensors {
    char temperature[320];                 /* the file, "": none */
    struct { char file[320]; double range, last; } packages[SENSOR_PACKAGES]; /* microjoules */
    int n_packages;
    double read_at;                        /* of the energy counters; 0: not yet */
};
struct sensor_readings { double celsius, watts; };

/* Finds the files below `root` ("/sys"). */
void sensors_find(struct sensors *s, const char *root);
/* now: seconds of a clock that does not jump. The first reading of a counter gives no power. */
struct sensor_readings sensors_read(struct sensors *s, double now);
#endif
