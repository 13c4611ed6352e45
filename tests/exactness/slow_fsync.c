/* A disk that does not keep up: fsync and fdatasync wait while the file that SLOW_FSYNC names is there.
 *
 * Preloaded (LD_PRELOAD) into redis-server. Each time one begins to wait, a byte is appended to that file, so that whoever
 * made it can see that the server is waiting.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void stall(void) {
    const char *path = getenv("SLOW_FSYNC");
    int told = 0;
    while (path && access(path, F_OK) == 0) {
        if (!told) {
            int file = open(path, O_WRONLY | O_APPEND);
            if (file >= 0) {
                told = write(file, ".", 1) == 1;
                close(file);
            }
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    stall();
    return real(file);
}

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    stall();
    return real(file);
}
