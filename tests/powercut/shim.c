/* Records what a process does to the files below $POWERCUT_ROOT, in the order in which it is done, into $POWERCUT_LOG.
 *
 * Loaded with LD_PRELOAD. Each call is two records: one before it, with everything it is about to do, and one after it,
 * with its result; so whoever reads the log knows what was in flight at any moment, and that a flush covers only what
 * had ended before the flush began. One record is one append, so that the order holds across threads and processes.
 * Writes through a memory map are not seen: LMDB without writemap makes none but to its lock file, whose contents mean
 * nothing after a reboot. The record's layout is repeated in recording.py. Whatever cannot be recorded ends the process.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum op { OPEN = 1, WRITE, SYNC, TRUNCATE, ALLOCATE, RENAME, UNLINK, MKDIR };
enum { BEGIN = 0, END = 1 };

struct record {
    uint32_t magic;
    uint8_t op, phase, durable, folder;
    uint64_t id;
    uint64_t inode;
    int64_t offset; /* an END carries the result here */
    uint64_t length;
    uint32_t payload;
    uint32_t reserved;
};

#define MAGIC 0x50435554u
#define FDS 65536

static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;
static _Atomic uint64_t last_id;
static unsigned char watched[FDS]; /* 0 not ours, 1 a file, 2 a file through O_DSYNC or O_SYNC, 3 a folder */

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        _exit(119);
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWERCUT_LOG"), *below = getenv("POWERCUT_ROOT");
    if (!path || !below || strlen(below) >= sizeof root)
        return;
    strcpy(root, below);
    root_length = strlen(root);
    int opened = REAL(open64)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    log_fd = REAL(fcntl64)(opened, F_DUPFD_CLOEXEC, 500);
    if (log_fd < 0)
        _exit(119);
    REAL(close)(opened);
}

static void append(struct record *record, const struct iovec *data, int count)
{
    struct iovec vector[1 + IOV_MAX];
    ssize_t whole = sizeof *record;
    vector[0] = (struct iovec){record, sizeof *record};
    record->magic = MAGIC;
    record->payload = 0;
    for (int i = 0; i < count; i++) {
        vector[1 + i] = data[i];
        record->payload += data[i].iov_len;
        whole += data[i].iov_len;
    }
    int before = errno;
    if (count >= IOV_MAX || REAL(writev)(log_fd, vector, 1 + count) != whole)
        _exit(119);
    errno = before;
}

static uint64_t started(struct record record, const struct iovec *data, int count)
{
    record.phase = BEGIN;
    record.id = (uint64_t)getpid() << 32 | atomic_fetch_add(&last_id, 1);
    append(&record, data, count);
    return record.id;
}

static void ended(uint64_t id, enum op op, uint64_t inode, int64_t result)
{
    struct record record = {.op = op, .phase = END, .id = id, .inode = inode, .offset = result};
    append(&record, NULL, 0);
}

/* The absolute path of a path argument; false when it is not below the root. */
static int below(int at, const char *path, char *out)
{
    char folder[PATH_MAX];
    if (log_fd < 0)
        return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        if (at == AT_FDCWD) {
            if (!getcwd(folder, sizeof folder))
                return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            ssize_t length = readlink(link, folder, sizeof folder - 1);
            if (length < 0)
                return 0;
            folder[length] = 0;
        }
        if (snprintf(out, PATH_MAX, "%s/%s", folder, path) >= PATH_MAX)
            return 0;
    }
    return strncmp(out, root, root_length) == 0 && (out[root_length] == '/' || out[root_length] == 0);
}

static int is_watched(int fd) { return log_fd >= 0 && fd >= 0 && fd < FDS && watched[fd]; }

static uint64_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static void note(int fd, int flags)
{
    struct stat status;
    if (fd < 0 || fd >= FDS || fstat(fd, &status) != 0)
        _exit(119);
    watched[fd] = S_ISDIR(status.st_mode) ? 3 : (flags & (O_DSYNC | O_SYNC)) ? 2 : 1;
}

static int opened(int at, const char *path, int flags, mode_t mode)
{
    char whole[PATH_MAX];
    int (*call)(int, const char *, int, ...) = REAL(openat64);
    if (!below(at, path, whole))
        return call(at, path, flags, mode);
    struct iovec data = {whole, strlen(whole)};
    struct record record = {.op = OPEN, .length = (flags & O_CREAT ? 1 : 0) | (flags & O_TRUNC ? 2 : 0)};
    uint64_t id = started(record, &data, 1);
    int fd = call(at, path, flags, mode), error = errno;
    if (fd >= 0)
        note(fd, flags);
    ended(id, OPEN, fd < 0 ? 0 : inode_of(fd), fd < 0 ? -1 : 0);
    errno = error;
    return fd;
}

#define MODE(flags)                                                                                                    \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode = va_arg(list, mode_t);                                                                                   \
        va_end(list);                                                                                                  \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return opened(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd)
{
    if (fd == log_fd && fd >= 0) {
        errno = EBADF;
        return -1;
    }
    if (is_watched(fd))
        watched[fd] = 0;
    return REAL(close)(fd);
}

static int copied(int from, int to)
{
    if (to >= 0 && to < FDS && from >= 0 && from < FDS)
        watched[to] = watched[from];
    return to;
}

int dup(int fd) { return copied(fd, REAL(dup)(fd)); }
int dup2(int fd, int to) { return copied(fd, REAL(dup2)(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, REAL(dup3)(fd, to, flags)); }

static int controlled(int fd, int command, void *argument)
{
    int result = REAL(fcntl64)(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}

#define ARGUMENT                                                                                                       \
    va_list list;                                                                                                      \
    va_start(list, command);                                                                                           \
    void *argument = va_arg(list, void *);                                                                             \
    va_end(list);

int fcntl(int fd, int command, ...) { ARGUMENT return controlled(fd, command, argument); }
int fcntl64(int fd, int command, ...) { ARGUMENT return controlled(fd, command, argument); }

/* Begin the record of a write; offset -1 means at the file's own position. Returns 0 when it is not recorded. */
static uint64_t writing(int fd, off64_t offset, const struct iovec *data, int count)
{
    if (!is_watched(fd))
        return 0;
    struct record record = {.op = WRITE, .durable = watched[fd] == 2, .inode = inode_of(fd)};
    struct stat status;
    if (fcntl(fd, F_GETFL) & O_APPEND) /* Linux appends then, whatever the offset */
        offset = fstat(fd, &status) == 0 ? status.st_size : -1;
    else if (offset < 0)
        offset = lseek64(fd, 0, SEEK_CUR);
    if (offset < 0)
        _exit(119);
    record.offset = offset;
    return started(record, data, count);
}

static ssize_t wrote(uint64_t id, int fd, ssize_t result)
{
    int error = errno;
    if (id)
        ended(id, WRITE, inode_of(fd), result);
    errno = error;
    return result;
}

#define RECORDED_WRITE(offset, data, count, call)                                                                      \
    uint64_t id = writing(fd, offset, data, count);                                                                    \
    return wrote(id, fd, call)

ssize_t write(int fd, const void *bytes, size_t size)
{
    struct iovec data = {(void *)bytes, size};
    RECORDED_WRITE(-1, &data, 1, REAL(write)(fd, bytes, size));
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    struct iovec data = {(void *)bytes, size};
    RECORDED_WRITE(offset, &data, 1, REAL(pwrite64)(fd, bytes, size, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    struct iovec data = {(void *)bytes, size};
    RECORDED_WRITE(offset, &data, 1, REAL(pwrite64)(fd, bytes, size, offset));
}

ssize_t writev(int fd, const struct iovec *data, int count)
{
    RECORDED_WRITE(-1, data, count, REAL(writev)(fd, data, count));
}

ssize_t pwritev(int fd, const struct iovec *data, int count, off_t offset)
{
    RECORDED_WRITE(offset, data, count, REAL(pwritev64)(fd, data, count, offset));
}

ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t offset)
{
    RECORDED_WRITE(offset, data, count, REAL(pwritev64)(fd, data, count, offset));
}

/* Any other call on a descriptor: what it is about to do, and its result. */
#define RECORDED(operation, at, size, call)                                                                            \
    if (!is_watched(fd))                                                                                               \
        return call;                                                                                                   \
    struct record record = {.op = operation, .inode = inode_of(fd), .offset = at, .length = size};                     \
    record.folder = watched[fd] == 3;                                                                                  \
    uint64_t id = started(record, NULL, 0);                                                                            \
    int result = call, error = errno;                                                                                  \
    ended(id, operation, record.inode, result);                                                                        \
    errno = error;                                                                                                     \
    return result

int fsync(int fd) { RECORDED(SYNC, 0, 0, REAL(fsync)(fd)); }
int fdatasync(int fd) { RECORDED(SYNC, 0, 0, REAL(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { RECORDED(TRUNCATE, 0, size, REAL(ftruncate64)(fd, size)); }
int ftruncate64(int fd, off64_t size) { RECORDED(TRUNCATE, 0, size, REAL(ftruncate64)(fd, size)); }
int posix_fallocate(int fd, off_t at, off_t size) { RECORDED(ALLOCATE, at, size, REAL(posix_fallocate64)(fd, at, size)); }
int posix_fallocate64(int fd, off64_t at, off64_t size)
{
    RECORDED(ALLOCATE, at, size, REAL(posix_fallocate64)(fd, at, size));
}
/* A mode such as FALLOC_FL_PUNCH_HOLE would be a write of its own kind: nothing here uses one. */
static int allocated(int fd, int mode, off64_t at, off64_t size)
{
    if (is_watched(fd) && mode != 0)
        _exit(119);
    RECORDED(ALLOCATE, at, size, REAL(fallocate64)(fd, mode, at, size));
}
int fallocate(int fd, int mode, off_t at, off_t size) { return allocated(fd, mode, at, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return allocated(fd, mode, at, size); }

/* A call on one name. */
#define RECORDED_NAME(operation, at, path, is_folder, call)                                                            \
    char whole[PATH_MAX];                                                                                              \
    if (!below(at, path, whole))                                                                                       \
        return call;                                                                                                   \
    struct iovec data = {whole, strlen(whole)};                                                                        \
    struct record record = {.op = operation, .folder = is_folder};                                                     \
    uint64_t id = started(record, &data, 1);                                                                           \
    int result = call, error = errno;                                                                                  \
    struct stat status;                                                                                                \
    ended(id, operation, result == 0 && lstat(whole, &status) == 0 ? status.st_ino : 0, result);                       \
    errno = error;                                                                                                     \
    return result

int mkdir(const char *path, mode_t mode) { RECORDED_NAME(MKDIR, AT_FDCWD, path, 1, REAL(mkdir)(path, mode)); }
int mkdirat(int at, const char *path, mode_t mode) { RECORDED_NAME(MKDIR, at, path, 1, REAL(mkdirat)(at, path, mode)); }
int unlink(const char *path) { RECORDED_NAME(UNLINK, AT_FDCWD, path, 0, REAL(unlink)(path)); }
int rmdir(const char *path) { RECORDED_NAME(UNLINK, AT_FDCWD, path, 1, REAL(rmdir)(path)); }
int unlinkat(int at, const char *path, int flags)
{
    RECORDED_NAME(UNLINK, at, path, (flags & AT_REMOVEDIR) != 0, REAL(unlinkat)(at, path, flags));
}

static int renamed(int at, const char *from, int to_at, const char *to)
{
    char both[2][PATH_MAX];
    int inside = below(at, from, both[0]), arrives = below(to_at, to, both[1]);
    if (!inside && !arrives)
        return REAL(renameat)(at, from, to_at, to);
    if (inside != arrives)
        _exit(119);
    struct iovec data[] = {{both[0], strlen(both[0]) + 1}, {both[1], strlen(both[1])}};
    struct record record = {.op = RENAME};
    uint64_t id = started(record, data, 2);
    int result = REAL(renameat)(at, from, to_at, to), error = errno;
    ended(id, RENAME, 0, result);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int at, const char *from, int to_at, const char *to) { return renamed(at, from, to_at, to); }
