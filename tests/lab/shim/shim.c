// Preloaded into the agent by tests: kills it, or fails a call, at a chosen point, and says what adjtimex would say.
//
// Only calls count that touch a file under LAB_SHIM_FOLDER or LAB_SHIM_FOLDER_2, or a TCP connection to (or accepted at) one of LAB_SHIM_PORTS
// ("1883=broker,9200=output"). What to do stands in the file LAB_SHIM_CONTROL, which both sides map or write at any
// time; shim.ts has the other half of its layout. With LAB_SHIM_TRACE each point is also appended to that file.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE, SYNC, RENAME, UNLINK, TRUNCATE, CREATE, SEND, KINDS };
enum when { BEFORE, HALF, AFTER };
static const char *const kind_names[] = {"write", "sync", "rename", "unlink", "truncate", "create", "send"};
static const char *const when_names[] = {"before", "half", "after"};

struct control {
  int64_t attached; // the process id of the last process that mapped this file
  int64_t clock;    // what adjtimex returns: 0 synchronised, 5 not
  struct {
    int64_t kinds;     // bit set of enum kind
    int64_t countdown; // 1: the next matching call is the one; 0: none
    int64_t when;
    char place[64]; // matches when it is part of the point's place; "." is the folder alone; empty matches all
  } kill;
  struct {
    int64_t kinds, countdown;
    int64_t when;  // BEFORE: the call fails; HALF: the first one writes half, the next ones fail
    int64_t error; // errno
    int64_t times; // how many calls fail from the first on; -1: all
    char place[64];
  } fault;
  int64_t counts[KINDS]; // points passed, by kind
  char hit[256];         // the point at which the process was killed
};

_Static_assert(sizeof(struct control) == 520, "shim.ts knows where each field is");

static struct control nothing;
static struct control *control = &nothing;
static const char *folder, *folder_2;
static struct { int port; char name[16]; } ports[8];
static int port_count, trace_fd = -1;

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("LAB_SHIM_CONTROL"), *list = getenv("LAB_SHIM_PORTS"), *trace = getenv("LAB_SHIM_TRACE");
  folder = getenv("LAB_SHIM_FOLDER");
  folder_2 = getenv("LAB_SHIM_FOLDER_2");
  if (folder && !*folder) folder = NULL;
  if (folder_2 && !*folder_2) folder_2 = NULL;
  for (; list && *list && port_count < 8; port_count++) {
    int used = 0;
    if (sscanf(list, "%d=%15[^,]%n", &ports[port_count].port, ports[port_count].name, &used) < 2) break;
    list += used;
    if (*list == ',') list++;
  }
  if (trace) trace_fd = (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) return;
  control = mapped;
  control->attached = getpid();
}

// How long the name of the folder is that the path is in, or 0.
static size_t is_in(const char *path, const char *folder) {
  size_t length = folder && path ? strlen(folder) : 0;
  return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]) ? length : 0;
}

// The place of a path: relative to the folder, in the second one with that one's name; NULL when it is elsewhere.
static const char *place_of_path(const char *path) {
  size_t length = is_in(path, folder);
  if (length) return path[length] ? path + length + 1 : ".";
  length = is_in(path, folder_2);
  return length ? path + (strrchr(folder_2, '/') + 1 - folder_2) : NULL;
}

static int port_of(const struct sockaddr_storage *address) {
  return address->ss_family == AF_INET    ? ntohs(((struct sockaddr_in *)address)->sin_port)
         : address->ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)address)->sin6_port)
                                          : 0;
}

// The place of an open file (under the folder) or connection (to or at one of the ports), or NULL. `room` holds the name.
static const char *place_of_fd(int fd, char *room, size_t size, int *is_socket) {
  if (!port_count && !(folder && *folder) && !(folder_2 && *folder_2)) return NULL; // only the clock is wanted: costs nothing
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, room, size - 1);
  if (length <= 0) return NULL;
  room[length] = 0;
  *is_socket = !strncmp(room, "socket:", 7);
  if (!*is_socket) return place_of_path(room);
  struct sockaddr_storage peer, own;
  socklen_t peer_length = sizeof peer, own_length = sizeof own;
  if (getpeername(fd, (struct sockaddr *)&peer, &peer_length)) return NULL;
  if (getsockname(fd, (struct sockaddr *)&own, &own_length)) return NULL;
  for (int i = 0; i < port_count; i++)
    if (ports[i].port == port_of(&peer) || ports[i].port == port_of(&own)) return ports[i].name;
  return NULL;
}

// Whether this call is the n-th one that was asked for.
static int is_due(int64_t kinds, int64_t *countdown, const char *filter, enum kind kind, const char *place) {
  if (!(kinds >> kind & 1) || __atomic_load_n(countdown, __ATOMIC_SEQ_CST) <= 0) return 0;
  if (*filter && (strcmp(filter, ".") ? !strstr(place, filter) : strcmp(place, "."))) return 0;
  return __atomic_fetch_sub(countdown, 1, __ATOMIC_SEQ_CST) == 1;
}

struct point {
  enum kind kind;
  int kill_when; // -1: lives on
  int error;     // 0: no fault
  int is_short;  // write half of it and say so
  char place[96];
};

static void die(const struct point *point) {
  snprintf(control->hit, sizeof control->hit, "%s %s %s", kind_names[point->kind], when_names[point->kill_when], point->place);
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

// Counts the call, finds out what is to happen at it, and dies here when it is to die before the call.
static struct point reach(enum kind kind, const char *place) {
  struct point point = {.kind = kind, .kill_when = -1};
  snprintf(point.place, sizeof point.place, "%s", place);
  __atomic_fetch_add(&control->counts[kind], 1, __ATOMIC_SEQ_CST);
  if (trace_fd >= 0) dprintf(trace_fd, "%s %s\n", kind_names[kind], place);
  if (is_due(control->kill.kinds, &control->kill.countdown, control->kill.place, kind, place)) {
    int cuts = kind == WRITE || kind == SEND;
    point.kill_when = control->kill.when == HALF && !cuts ? BEFORE : (int)control->kill.when;
    if (point.kill_when == BEFORE) die(&point);
  }
  if (is_due(control->fault.kinds, &control->fault.countdown, control->fault.place, kind, place)) {
    int64_t times = control->fault.times;
    if (control->fault.when == HALF) {
      control->fault.when = BEFORE;
      control->fault.countdown = 1;
      point.is_short = 1;
    } else {
      point.error = (int)control->fault.error;
      if (times > 0) control->fault.times = --times;
      control->fault.countdown = times != 0;
    }
  }
  return point;
}

static long leave(const struct point *point, long result) {
  int error = errno;
  if (point->kill_when == AFTER) die(point);
  errno = error;
  return result;
}

static long refuse(const struct point *point) {
  errno = point->error;
  return -1;
}

// Writes or sends the first half of it (`put` does, `count` bytes at most), and dies if that was the order.
#define CUT(point, bytes, put) \
  do { \
    size_t count = (bytes) / 2; \
    if ((point).kill_when == HALF) { if (count) (void)!(put); die(&(point)); } \
    if ((point).is_short && count) return (put); \
  } while (0)

#define POINT_OF_FD(fd, kind_if_file, otherwise) \
  char room[4200]; int is_socket = 0, saved_errno = errno; \
  const char *place = place_of_fd(fd, room, sizeof room, &is_socket); \
  errno = saved_errno; \
  if (!place) return otherwise; \
  struct point point = reach(is_socket ? SEND : (kind_if_file), place); \
  if (point.error) return refuse(&point)

ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  POINT_OF_FD(fd, WRITE, real(fd, bytes, size));
  CUT(point, size, real(fd, bytes, count));
  return leave(&point, real(fd, bytes, size));
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  REAL(pwrite64);
  POINT_OF_FD(fd, WRITE, real(fd, bytes, size, at));
  CUT(point, size, real(fd, bytes, count, at));
  return leave(&point, real(fd, bytes, size, at));
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  REAL(send);
  POINT_OF_FD(fd, WRITE, real(fd, bytes, size, flags));
  CUT(point, size, real(fd, bytes, count, flags));
  return leave(&point, real(fd, bytes, size, flags));
}

static size_t total(const struct iovec *parts, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += parts[i].iov_len;
  return bytes;
}

// Writes at most `size` bytes of the parts, one write each.
static ssize_t put_parts(int fd, const struct iovec *parts, size_t count, size_t size) {
  ssize_t done = 0;
  for (size_t i = 0; i < count && size; i++) {
    size_t length = parts[i].iov_len < size ? parts[i].iov_len : size;
    ssize_t written = syscall(SYS_write, fd, parts[i].iov_base, length);
    if (written < 0) return done ? done : -1;
    done += written;
    size -= written;
    if ((size_t)written < length) break;
  }
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int part_count) {
  REAL(writev);
  POINT_OF_FD(fd, WRITE, real(fd, parts, part_count));
  CUT(point, total(parts, part_count), put_parts(fd, parts, part_count, count));
  return leave(&point, real(fd, parts, part_count));
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  POINT_OF_FD(fd, WRITE, real(fd, message, flags));
  CUT(point, total(message->msg_iov, message->msg_iovlen), put_parts(fd, message->msg_iov, message->msg_iovlen, count));
  return leave(&point, real(fd, message, flags));
}

int fdatasync(int fd) {
  REAL(fdatasync);
  POINT_OF_FD(fd, SYNC, real(fd));
  return (int)leave(&point, real(fd));
}

int fsync(int fd) {
  REAL(fsync);
  POINT_OF_FD(fd, SYNC, real(fd));
  return (int)leave(&point, real(fd));
}

int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  POINT_OF_FD(fd, TRUNCATE, real(fd, size));
  return (int)leave(&point, real(fd, size));
}

int ftruncate(int fd, off_t size) {
  REAL(ftruncate);
  POINT_OF_FD(fd, TRUNCATE, real(fd, size));
  return (int)leave(&point, real(fd, size));
}

#define POINT_OF_PATH(path, kind, otherwise) \
  const char *place = place_of_path(path); \
  if (!place) return otherwise; \
  struct point point = reach(kind, place); \
  if (point.error) return (int)refuse(&point)

int rename(const char *from, const char *to) {
  REAL(rename);
  POINT_OF_PATH(to, RENAME, real(from, to));
  return (int)leave(&point, real(from, to));
}

int unlink(const char *path) {
  REAL(unlink);
  POINT_OF_PATH(path, UNLINK, real(path));
  return (int)leave(&point, real(path));
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  REAL(open64);
  if (!(flags & O_CREAT)) return real(path, flags, mode);
  POINT_OF_PATH(path, CREATE, real(path, flags, mode));
  return (int)leave(&point, real(path, flags, mode));
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  REAL(open);
  if (!(flags & O_CREAT)) return real(path, flags, mode);
  POINT_OF_PATH(path, CREATE, real(path, flags, mode));
  return (int)leave(&point, real(path, flags, mode));
}

int openat64(int dir, const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  REAL(openat64);
  if (!(flags & O_CREAT)) return real(dir, path, flags, mode);
  POINT_OF_PATH(path, CREATE, real(dir, path, flags, mode));
  return (int)leave(&point, real(dir, path, flags, mode));
}

// An FFI lookup in libc goes through the whole program, and so meets the functions below first.
void *dlopen(const char *name, int flags) {
  REAL(dlopen);
  return real(name && strstr(name, "libc.so.6") ? NULL : name, flags);
}

static int say_clock(struct timex *time) {
  if (time) memset(time, 0, sizeof *time);
  return (int)control->clock;
}

int adjtimex(struct timex *time) { return say_clock(time); }
int ntp_adjtime(struct timex *time) { return say_clock(time); }
// the aarch64 libc asks the kernel this way, and qemu then calls this function of its own libc
int clock_adjtime(clockid_t clock, struct timex *time) {
  (void)clock;
  return say_clock(time);
}
