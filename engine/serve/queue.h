/* queue.h - private to engine/serve: whose turn it is on a device.
 *
 * A ticket is a file HOME/queue/DEVICE/TIME-PID that its engine keeps locked (flock) while it lives. The lowest
 * living ticket owns the device; a killed owner or waiter frees its place by itself. */
#ifndef HONE_QUEUE_H
#define HONE_QUEUE_H
#include "engine/base/base.h"

struct ticket { int fd, device; char path[4096]; };
/* Takes a place at the end. label: who waits, shown to those behind. */
bool ticket_take(struct ticket *t, const char *home, const char *device, const char *label, struct err *err);
/* Is it our turn? If not, *ahead (64 bytes) names whose it is. */
bool ticket_is_first(struct ticket *t, char ahead[64]);
void ticket_drop(struct ticket *t);
#endif
