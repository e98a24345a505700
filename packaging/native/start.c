/*
 * The first instructions of the packaged Node: maps the C library's loader that lies in the package and jumps
 * to it. It does what the kernel does for a program with an interpreter (PT_INTERP, fs/binfmt_elf.c), with one
 * difference: the path of the interpreter is relative to the program. So a package runs wherever it is
 * unpacked, and /proc/self/exe, the name of the process and its arguments stay those of Node.
 *
 * packaging/elf.ts puts the code into the program and fills `configuration`. There is no C library yet: only
 * system calls, no relocations and no writable data. All addresses are computed from the address of
 * `configuration`, because the program may be mapped anywhere.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_BYTES 4096
#define PAGE_BYTES_MIN 4096
#define HEADERS_MAX 16
#define EXIT_NOT_STARTED 127

/* These are values of the kernel's interface (include/uapi), the same on x86-64 and arm64. */
#define AT_FDCWD -100
#define O_CLOEXEC 02000000
#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_PRIVATE 2
#define MAP_FIXED 16
#define MAP_ANONYMOUS 32

#if defined(__x86_64__)
enum { SYS_MMAP = 9, SYS_CLOSE = 3, SYS_WRITE = 1, SYS_PREAD = 17, SYS_OPENAT = 257, SYS_READLINKAT = 267, SYS_EXIT = 231 };
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
enum { SYS_MMAP = 222, SYS_CLOSE = 57, SYS_WRITE = 64, SYS_PREAD = 67, SYS_OPENAT = 56, SYS_READLINKAT = 78, SYS_EXIT = 94 };
#define MACHINE EM_AARCH64
#endif

/* Its layout is known to packaging/elf.ts. Addresses are those of the program's own headers. */
struct configuration {
  char mark[16];
  uint64_t own_address;     /* of this structure */
  uint64_t program_entry;   /* where Node itself begins */
  uint64_t program_headers; /* the headers that the loader reads: with PT_INTERP, which the kernel must not see */
  uint64_t program_header_count;
  char loader[64]; /* path of the loader, relative to the directory of the program */
};

__attribute__((section(".configuration"), used)) const struct configuration configuration = {.mark = "imdswatch-start"};

/* The kernel enters here with the arguments on the stack. The loader expects the same stack. */
#if defined(__x86_64__)
__asm__(".section .text.entry,\"ax\"\n.globl entry\nentry:\n"
        "  xor %ebp, %ebp\n"
        "  mov %rsp, %rdi\n"
        "  mov %rsp, %rbx\n"
        "  and $-16, %rsp\n"
        "  call map_loader\n"
        "  mov %rbx, %rsp\n"
        "  xor %edx, %edx\n"
        "  jmp *%rax\n");
#elif defined(__aarch64__)
__asm__(".section .text.entry,\"ax\"\n.globl entry\nentry:\n"
        "  mov x29, xzr\n"
        "  mov x30, xzr\n"
        "  mov x0, sp\n"
        "  mov x19, sp\n"
        "  bl map_loader\n"
        "  mov sp, x19\n"
        "  mov x16, x0\n"
        "  mov x0, xzr\n"
        "  br x16\n");
#endif

static long call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#endif
}

static int is_error(long result) { return result < 0 && result > -4096; }

static size_t length_of(const char *text) {
  size_t length = 0;
  while (text[length] != 0) length++;
  return length;
}

static void write_text(const char *text) { call(SYS_WRITE, 2, (long)text, (long)length_of(text), 0, 0, 0); }

__attribute__((noreturn)) static void stop(const char *path, const char *reason) {
  write_text("imdswatch does not start: ");
  write_text(path);
  write_text(reason);
  for (;;) call(SYS_EXIT, EXIT_NOT_STARTED, 0, 0, 0, 0, 0);
}

/* Writes the path of the loader: the directory of the program, then the path from there. */
static void find_loader(char *path, const char *executed_as, const struct configuration *own) {
  static const char self[] = "/proc/self/exe";
  long length = call(SYS_READLINKAT, AT_FDCWD, (long)self, (long)path, PATH_BYTES - sizeof own->loader, 0, 0);
  if (is_error(length)) {
    /* Without /proc the name by which the program was executed is the next best. */
    for (length = 0; executed_as[length] != 0 && length < (long)(PATH_BYTES - sizeof own->loader); length++)
      path[length] = executed_as[length];
  }
  while (length > 0 && path[length - 1] != '/') length--;
  for (size_t at = 0; at < sizeof own->loader; at++) path[length + (long)at] = own->loader[at];
}

static long map(uintptr_t address, size_t bytes, long protection, long flags, long file, uint64_t offset) {
  return call(SYS_MMAP, (long)address, (long)bytes, protection, MAP_PRIVATE | flags, file, (long)offset);
}

/* Maps one segment of the loader, and the memory behind the file's part of it that begins with zeros. */
static int map_segment(uintptr_t base, const Elf64_Phdr *segment, long file, uintptr_t page) {
  const long protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                          (segment->p_flags & PF_X ? PROT_EXEC : 0);
  const uintptr_t address = base + segment->p_vaddr;
  const uintptr_t from = address & ~(page - 1);
  const uintptr_t file_end = address + segment->p_filesz;
  const uintptr_t end = address + segment->p_memsz;
  if (is_error(map(from, file_end - from, protection, MAP_FIXED, file, segment->p_offset - (address - from)))) return 0;
  if (end == file_end) return 1;
  const uintptr_t page_end = (file_end + page - 1) & ~(page - 1);
  for (volatile char *byte = (volatile char *)file_end; (uintptr_t)byte < page_end; byte++) *byte = 0;
  return end <= page_end || !is_error(map(page_end, end - page_end, protection, MAP_FIXED | MAP_ANONYMOUS, -1, 0));
}

/* Returns the address at which the loader begins. `stack` is the stack as the kernel has made it. */
__attribute__((used)) uintptr_t map_loader(uintptr_t *stack) {
  const struct configuration *own = &configuration;
  /* The compiler must not use values that were there when it compiled. */
  __asm__ volatile("" : "+r"(own));
  const uintptr_t moved_by = (uintptr_t)own - own->own_address;
  uintptr_t *at = stack + 1 + stack[0] + 1;
  while (*at != 0) at++;
  Elf64_auxv_t *const values = (Elf64_auxv_t *)(at + 1);
  uintptr_t page = PAGE_BYTES_MIN;
  const char *executed_as = "";
  for (Elf64_auxv_t *value = values; value->a_type != AT_NULL; value++) {
    if (value->a_type == AT_PAGESZ) page = value->a_un.a_val;
    if (value->a_type == AT_EXECFN) executed_as = (const char *)value->a_un.a_val;
  }

  char path[PATH_BYTES];
  find_loader(path, executed_as, own);
  const long file = call(SYS_OPENAT, AT_FDCWD, (long)path, O_CLOEXEC, 0, 0, 0);
  if (is_error(file)) stop(path, " could not be opened. The package is not whole: install or unpack it again.\n");
  struct {
    Elf64_Ehdr file;
    Elf64_Phdr segments[HEADERS_MAX];
  } head;
  const long bytes = call(SYS_PREAD, file, (long)&head, sizeof head, 0, 0, 0);
  if (bytes < (long)sizeof head || head.file.e_ident[0] != 0x7f || head.file.e_ident[1] != 'E' ||
      head.file.e_machine != MACHINE || head.file.e_phoff != sizeof head.file || head.file.e_phnum > HEADERS_MAX)
    stop(path, " is not the loader of this package. Install or unpack it again.\n");

  uintptr_t span = 0;
  for (int index = 0; index < head.file.e_phnum; index++) {
    const Elf64_Phdr *segment = &head.segments[index];
    if (segment->p_type == PT_LOAD && segment->p_vaddr + segment->p_memsz > span)
      span = segment->p_vaddr + segment->p_memsz;
  }
  const long base = map(0, span, PROT_NONE, MAP_ANONYMOUS, -1, 0);
  int mapped = !is_error(base);
  for (int index = 0; index < head.file.e_phnum && mapped; index++)
    if (head.segments[index].p_type == PT_LOAD) mapped = map_segment((uintptr_t)base, &head.segments[index], file, page);
  if (!mapped) stop(path, " could not be mapped. Is memory used up, or is its file system mounted with noexec?\n");
  call(SYS_CLOSE, file, 0, 0, 0, 0, 0);

  for (Elf64_auxv_t *value = values; value->a_type != AT_NULL; value++) {
    if (value->a_type == AT_BASE) value->a_un.a_val = (uintptr_t)base;
    if (value->a_type == AT_ENTRY) value->a_un.a_val = moved_by + own->program_entry;
    if (value->a_type == AT_PHDR) value->a_un.a_val = moved_by + own->program_headers;
    if (value->a_type == AT_PHNUM) value->a_un.a_val = own->program_header_count;
  }
  return (uintptr_t)base + head.file.e_entry;
}
