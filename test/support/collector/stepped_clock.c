/*
 * Preloaded into a process of a test: its wall clock is the machine's plus some seconds. The file named by
 * IMDSWATCH_TEST_CLOCK holds three numbers (int64_t, native order): these seconds, the seconds before they were set, and
 * when they were set, in microseconds of the machine's clock. Monotonic clocks go on as they are, as when somebody sets
 * the time. The time stamps of captured packets follow the clock as it was when each packet came, because the kernel
 * that gives them knows only the machine's clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

/* The beginning of libpcap's struct pcap_pkthdr, and the rest of it, which is passed on. */
struct packet_header {
  struct timeval time;
  uint32_t captured_bytes;
  uint32_t wire_bytes;
};
typedef void (*packet_handler)(unsigned char *, const struct packet_header *, const unsigned char *);

struct steps {
  int64_t seconds;
  int64_t seconds_before;
  int64_t set_us;
};

struct receiver {
  packet_handler handler;
  unsigned char *user;
};

static const volatile struct steps *steps;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  const char *path = getenv("IMDSWATCH_TEST_CLOCK");
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *page = mmap(NULL, sizeof(struct steps), PROT_READ, MAP_SHARED, fd, 0);
  if (page != MAP_FAILED) steps = page;
}

int clock_gettime(clockid_t id, struct timespec *now) {
  int result = real_clock_gettime(id, now);
  if (result == 0 && steps != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    now->tv_sec += steps->seconds;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec time;
  if (clock_gettime(CLOCK_REALTIME, &time) != 0) return -1;
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

static void pass_on(unsigned char *user, const struct packet_header *header, const unsigned char *bytes) {
  const struct receiver *receiver = (const struct receiver *)user;
  struct packet_header set = *header;
  int64_t us = (int64_t)set.time.tv_sec * 1000000 + set.time.tv_usec;
  set.time.tv_sec += us < steps->set_us ? steps->seconds_before : steps->seconds;
  receiver->handler(receiver->user, &set, bytes);
}

/* Stands before libpcap's own function, which the add-on `cap` finds by its name. */
int pcap_dispatch(void *handle, int count, packet_handler handler, unsigned char *user) {
  static int (*dispatch)(void *, int, packet_handler, unsigned char *);
  if (dispatch == NULL) {
    /* It was loaded for the add-on only, so it is not the next one in the order of names. */
    void *library = dlopen("libpcap.so.0.8", RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL) library = dlopen("libpcap.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL) abort();
    dispatch = (int (*)(void *, int, packet_handler, unsigned char *))dlsym(library, "pcap_dispatch");
  }
  if (steps == NULL) return dispatch(handle, count, handler, user);
  struct receiver receiver = {handler, user};
  return dispatch(handle, count, pass_on, (unsigned char *)&receiver);
}
