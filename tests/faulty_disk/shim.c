/* Fails calls on the files below $FAULTS_ROOT, as a failing disk does, for as long as $FAULTS_CONTROL says so.
 *
 * Loaded with LD_PRELOAD. The control file is read anew at each call: lines of a call and an error, such as
 * `pwrite EIO`. The calls are pwrite (any write at an offset or not), meta (a write through a descriptor that writes
 * and flushes in one, which LMDB uses for its meta page), sync (fsync and fdatasync), allocate, truncate, open (for
 * writing), and all. A line `room N` makes every disk say that it has N MiB free; with `lost N` the page N of each file
 * cannot be read by pread or preadv2. A meta write that fails has been done, in memory: that is what Linux does when the
 * flush fails.
 * Every failed call and every write or flush of any kind goes to $FAULTS_LOG, one line each.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define REAL(name) ((__typeof__(&name))real(#name))

static char root[PATH_MAX], control[PATH_MAX];
static int log_fd = -1;

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        _exit(119);
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *below = getenv("FAULTS_ROOT"), *told = getenv("FAULTS_CONTROL"), *path = getenv("FAULTS_LOG");
    if (!below || !told || !path)
        return;
    snprintf(root, sizeof root, "%s/", below);
    snprintf(control, sizeof control, "%s", told);
    log_fd = REAL(open64)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_fd < 0)
        _exit(119);
}

static int number_of(const char *name)
{
    static const struct { const char *name; int number; } known[] = {
        {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT}, {"EOPNOTSUPP", EOPNOTSUPP}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].number;
    _exit(119);
}

/* The error that a call is to fail with, or the number that is to be said; 0 for none. */
static int told(const char *call)
{
    char text[512], *line, *rest = text;
    int fd = log_fd < 0 ? -1 : REAL(open64)(control, O_RDONLY | O_CLOEXEC), error = 0;
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    REAL(close)(fd);
    text[length < 0 ? 0 : length] = 0;
    while ((line = strsep(&rest, "\n"))) {
        char *name = strsep(&line, " ");
        if (line && (strcmp(call, "room") == 0 || strcmp(call, "lost") == 0))
            error = strcmp(name, call) == 0 ? atoi(line) : error;
        else if (line && (strcmp(name, call) == 0 || strcmp(name, "all") == 0))
            error = number_of(line);
    }
    return error;
}

static int below(const char *path) { return strncmp(path, root, strlen(root)) == 0; }

/* Find the path of an open file; return whether it is below the root. */
static int find_below(int fd, char path[PATH_MAX])
{
    char link[64];
    if (log_fd < 0 || fd < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path);
}

/* Write down a call on a file below the root; return the error that it is to fail with, -1 for other files. */
static int fault(int fd, const char *call, long long offset, size_t size)
{
    char path[PATH_MAX];
    if (!find_below(fd, path))
        return -1;
    int error = told(call);
    dprintf(log_fd, "%s %s %lld %zu %s\n", error ? "failed" : "done", call, offset, size, path + strlen(root));
    return error;
}

#define FAULTY(call, offset, size, real)                                                                               \
    int before = errno, error = fault(fd, call, offset, size);                                                         \
    errno = before;                                                                                                    \
    if (error > 0) {                                                                                                   \
        errno = error;                                                                                                 \
        return -1;                                                                                                     \
    }                                                                                                                  \
    return real

#define FAULTY_WRITE(offset, size, real)                                                                               \
    if (log_fd >= 0 && REAL(fcntl64)(fd, F_GETFL) & O_DSYNC) {                                                         \
        int before = errno, error = fault(fd, "meta", offset, size);                                                   \
        errno = before;                                                                                                \
        ssize_t result = real;                                                                                         \
        if (error > 0) {                                                                                               \
            errno = error;                                                                                             \
            return -1;                                                                                                 \
        }                                                                                                              \
        return result;                                                                                                 \
    }                                                                                                                  \
    FAULTY("pwrite", offset, size, real)

static size_t whole(const struct iovec *data, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += data[i].iov_len;
    return size;
}

ssize_t write(int fd, const void *data, size_t size) { FAULTY_WRITE(-1, size, REAL(write)(fd, data, size)); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { FAULTY_WRITE(at, size, REAL(pwrite64)(fd, data, size, at)); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { FAULTY_WRITE(at, size, REAL(pwrite64)(fd, data, size, at)); }
ssize_t writev(int fd, const struct iovec *data, int count) { FAULTY_WRITE(-1, whole(data, count), REAL(writev)(fd, data, count)); }
ssize_t pwritev(int fd, const struct iovec *data, int count, off_t at)
{
    FAULTY_WRITE(at, whole(data, count), REAL(pwritev64)(fd, data, count, at));
}
ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t at)
{
    FAULTY_WRITE(at, whole(data, count), REAL(pwritev64)(fd, data, count, at));
}

/* What is read changes nothing, and is not written down. */
static int is_lost(int fd, size_t size, off64_t at)
{
    char path[PATH_MAX];
    int before = errno;
    off64_t lost = find_below(fd, path) ? (off64_t)told("lost") * PAGE : 0;
    errno = before;
    return lost && at < lost + PAGE && lost < at + (off64_t)size;
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at)
{
    if (is_lost(fd, size, at)) {
        errno = EIO;
        return -1;
    }
    return REAL(pread64)(fd, data, size, at);
}
ssize_t pread(int fd, void *data, size_t size, off_t at) { return pread64(fd, data, size, at); }

/* What the disk cannot give is not in memory either. */
ssize_t preadv64v2(int fd, const struct iovec *data, int count, off64_t at, int flags)
{
    if (is_lost(fd, whole(data, count), at)) {
        errno = flags & RWF_NOWAIT ? EAGAIN : EIO;
        return -1;
    }
    return REAL(preadv64v2)(fd, data, count, at, flags);
}
ssize_t preadv2(int fd, const struct iovec *data, int count, off_t at, int flags)
{
    return preadv64v2(fd, data, count, at, flags);
}

int fsync(int fd) { FAULTY("sync", -1, 0, REAL(fsync)(fd)); }
int fdatasync(int fd) { FAULTY("sync", -1, 0, REAL(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { FAULTY("truncate", -1, size, REAL(ftruncate64)(fd, size)); }
int ftruncate64(int fd, off64_t size) { FAULTY("truncate", -1, size, REAL(ftruncate64)(fd, size)); }

/* Says its error by its result. */
int posix_fallocate64(int fd, off64_t at, off64_t size)
{
    int error = fault(fd, "allocate", at, size);
    return error > 0 ? error : REAL(posix_fallocate64)(fd, at, size);
}
int posix_fallocate(int fd, off_t at, off_t size) { return posix_fallocate64(fd, at, size); }

static int with_room(int result, struct statvfs64 *status)
{
    int room = told("room");
    if (result == 0 && room)
        status->f_bavail = (fsblkcnt64_t)room * (1 << 20) / status->f_frsize;
    return result;
}

/* On these machines both forms of the structure are the same. */
int statvfs64(const char *path, struct statvfs64 *status) { return with_room(REAL(statvfs64)(path, status), status); }
int fstatvfs64(int fd, struct statvfs64 *status) { return with_room(REAL(fstatvfs64)(fd, status), status); }
int statvfs(const char *path, struct statvfs *status) { return statvfs64(path, (struct statvfs64 *)status); }
int fstatvfs(int fd, struct statvfs *status) { return fstatvfs64(fd, (struct statvfs64 *)status); }

static int opened(const char *path, int flags, mode_t mode)
{
    int error = log_fd >= 0 && (flags & O_ACCMODE) != O_RDONLY && below(path) ? told("open") : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return REAL(open64)(path, flags, mode);
}

#define MODE                                                                                                           \
    mode_t mode = 0;                                                                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                               \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode = va_arg(list, mode_t);                                                                                   \
        va_end(list);                                                                                                  \
    }

int open(const char *path, int flags, ...) { MODE return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(path, flags, mode); }
