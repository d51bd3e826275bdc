/* Makes every flush of a process take $BENCH_FLUSH_MS longer, as on an SD card: fsync, fdatasync, and a write through a
 * descriptor with O_DSYNC, which is how LMDB writes its meta page. Loaded with LD_PRELOAD; changes nothing else.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static struct timespec delay;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("BENCH_FLUSH_MS");
    long milliseconds = text ? strtol(text, NULL, 10) : 0;
    delay.tv_sec = milliseconds / 1000;
    delay.tv_nsec = milliseconds % 1000 * 1000000;
}

static void wait_for_device(void)
{
    struct timespec left = delay;
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void wait_if_durable(int fd)
{
    if (fcntl(fd, F_GETFL) & O_DSYNC) /* O_SYNC contains it */
        wait_for_device();
}

int fsync(int fd)
{
    wait_for_device();
    return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    wait_for_device();
    return REAL(fdatasync)(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    wait_if_durable(fd);
    return REAL(pwrite)(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    wait_if_durable(fd);
    return REAL(pwrite64)(fd, bytes, size, offset);
}
