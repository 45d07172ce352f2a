/* A disk that lies, for the mutants of the crash tests: by LD_PRELOAD, an fsync of directories (WITHOUT_SYNC=directories) or of
   files (WITHOUT_SYNC=files) does nothing and says that it did. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_left_out(int fd)
{
    const char *which = getenv("WITHOUT_SYNC");
    struct stat found;
    if (which == NULL || fstat(fd, &found) != 0)
        return 0;
    return strcmp(which, "directories") == 0 ? S_ISDIR(found.st_mode) : S_ISREG(found.st_mode);
}

int fsync(int fd)
{
    return is_left_out(fd) ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_left_out(fd) ? 0 : (int)syscall(SYS_fdatasync, fd);
}
