/* threads.cpp - runs a launch: blocks one after another, the threads of a block as coroutines with their own stacks.
 *
 * A coroutine runs one thread after another until one waits at a barrier or for its warp; then another coroutine
 * continues. So a kernel without barriers costs one call per thread. Blocks and threads start in ascending, descending
 * or random order, which changes at each launch: a kernel that depends on the order gives different bits. What would
 * hang or be undefined on a GPU ends the program with the kernel's name: a barrier that some threads never reach, a
 * shuffle without all of its lanes, a misaligned vector access. Shared memory, which is thread-local memory of this
 * library, is NaN when the first blocks of a launch begin. */
#include "cuda_runtime.h"
#include "streams.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
const char *emulated_kernel;

namespace {

enum { STACK = 128 * 1024, WARP = 32 };
enum state { FRESH, RUNNING, AT_BARRIER, AT_SHUFFLE, DONE };

struct thread {
  state at;
  int coroutine;
};

struct warp {
  int waiting;           /* lanes at the current shuffle */
  int shuffles[WARP];    /* shuffles done by each lane: it uses slot shuffles % 2 */
  unsigned char slot[2][WARP][16];
};

/* ---- switching stacks ---- */

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define FAST_SWITCH 1
extern "C" void emulated_switch(void **save, void *to);
asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulated_switch, .-emulated_switch
)");
#endif

struct coroutine {
  char *stack;
#ifdef FAST_SWITCH
  void *sp;
#else
  ucontext_t context;
  void *fake_stack;
#endif
  int thread; /* that runs or waits on it; -1: none */
};

struct all_coroutines : std::vector<coroutine *> {
  ~all_coroutines() {
    for (coroutine *c : *this) {
      free(c->stack);
      delete c;
    }
  }
} coroutines;
std::vector<int> idle;
#ifdef FAST_SWITCH
void *scheduler_sp;
#else
ucontext_t scheduler_context;
void *scheduler_fake_stack;
const void *scheduler_bottom;
size_t scheduler_size;
#endif

int current; /* the running coroutine */

/* ---- the running block ---- */

struct {
  const char *kernel;
  void (*call)(const void *);
  const void *closure;
  int count, started, done, at_barrier;
  std::vector<thread> threads;
  std::vector<warp> warps;
  std::vector<int> order, ready;
} block;

unsigned launches;

[[noreturn]] void die(const char *what) {
  fprintf(stderr, "cuda emulator: %s: %s (block %u %u %u of %u %u %u, thread %u %u %u of %u %u %u)\n", block.kernel,
          what, blockIdx.x, blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z, threadIdx.x, threadIdx.y,
          threadIdx.z, blockDim.x, blockDim.y, blockDim.z);
  abort();
}

void place(int t) {
  threadIdx.x = (unsigned)t % blockDim.x;
  threadIdx.y = (unsigned)t / blockDim.x % blockDim.y;
  threadIdx.z = (unsigned)t / blockDim.x / blockDim.y;
}

void to_scheduler() {
  coroutine *c = coroutines[(size_t)current];
#ifdef FAST_SWITCH
  emulated_switch(&c->sp, scheduler_sp);
#else
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&c->fake_stack, scheduler_bottom, scheduler_size);
#endif
  swapcontext(&c->context, &scheduler_context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(c->fake_stack, &scheduler_bottom, &scheduler_size);
#endif
#endif
}

void to_coroutine(int i) {
  current = i;
  coroutine *c = coroutines[(size_t)i];
#ifdef FAST_SWITCH
  emulated_switch(&scheduler_sp, c->sp);
#else
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, c->stack, STACK);
#endif
  swapcontext(&scheduler_context, &c->context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, NULL, NULL);
#endif
#endif
}

/* The loop of a coroutine: runs threads of the block, one after another, until none is left; then it is idle. */
void run_threads() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(NULL, &scheduler_bottom, &scheduler_size);
#endif
  int self = current;
  for (;;) {
    while (block.started < block.count) {
      int t = block.order[(size_t)block.started++];
      block.threads[(size_t)t] = {RUNNING, self};
      coroutines[(size_t)self]->thread = t;
      place(t);
      block.call(block.closure);
      block.threads[(size_t)t].at = DONE;
      block.done++;
    }
    coroutines[(size_t)self]->thread = -1;
    idle.push_back(self);
    to_scheduler();
  }
}

int new_coroutine() {
  coroutine *c = new coroutine();
  c->stack = static_cast<char *>(aligned_alloc(64, STACK));
  c->thread = -1;
#ifdef FAST_SWITCH
  void **top = reinterpret_cast<void **>(c->stack + STACK);
  *--top = NULL; /* run_threads never returns; this aligns the stack as after a call */
  *--top = reinterpret_cast<void *>(run_threads);
  for (int i = 0; i < 6; i++) *--top = NULL;
  c->sp = top;
#else
  getcontext(&c->context);
  c->context.uc_stack.ss_sp = c->stack;
  c->context.uc_stack.ss_size = STACK;
  c->context.uc_link = NULL;
  makecontext(&c->context, run_threads, 0);
#endif
  coroutines.push_back(c);
  return (int)coroutines.size() - 1;
}

/* The running thread waits; afterwards its indices are set again. */
void wait_as(state s) {
  int t = coroutines[(size_t)current]->thread, self = current;
  block.threads[(size_t)t].at = s;
  to_scheduler();
  current = self;
  place(t);
}

void release_barrier() {
  if (block.at_barrier != block.count) die("a barrier that not every thread reaches");
  block.at_barrier = 0;
  for (int t : block.order) {
    block.threads[(size_t)t].at = RUNNING;
    block.ready.push_back(t);
  }
}

void mix(int n, std::vector<int> *order) {
  unsigned way = launches % 3, state = launches * 2654435761u + 1;
  order->resize((size_t)n);
  for (int i = 0; i < n; i++) (*order)[(size_t)i] = way == 1 ? n - 1 - i : i;
  for (int i = n - 1; i > 0 && way == 2; i--) {
    state = state * 1664525u + 1013904223u;
    int j = (int)((state >> 8) % (unsigned)(i + 1)), held = (*order)[(size_t)i];
    (*order)[(size_t)i] = (*order)[(size_t)j];
    (*order)[(size_t)j] = held;
  }
}

/* ---- shared memory ---- */

enum { SPOILT_BLOCKS = 4 }; /* of a launch; more would take as long as the kernel */

struct memory {
  char *at;
  size_t bytes;
};

/* This library's thread-local memory in the calling thread. */
int find_shared(dl_phdr_info *info, size_t, void *found) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(&launches);
  bool ours = false;
  size_t bytes = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) &part = info->dlpi_phdr[i];
    const uintptr_t from = info->dlpi_addr + part.p_vaddr;
    ours = ours || (part.p_type == PT_LOAD && here >= from && here < from + part.p_memsz);
    if (part.p_type == PT_TLS) bytes = part.p_memsz;
  }
  if (ours && info->dlpi_tls_data) *static_cast<memory *>(found) = {static_cast<char *>(info->dlpi_tls_data), bytes};
  return ours;
}

/* A kernel must not depend on what another block or kernel has left in shared memory. */
void spoil_shared() {
  static thread_local char first; /* accessing it allocates the thread-local memory */
  memory shared = {};
  *static_cast<volatile char *>(&first) = 1;
  dl_iterate_phdr(find_shared, &shared);
  if (shared.bytes == 0) die("the shared memory is not found");
  memset(shared.at, 0xFF, shared.bytes);
}

void run_block() {
  block.started = block.done = block.at_barrier = 0;
  block.threads.assign((size_t)block.count, {FRESH, -1});
  if (block.warps.size() != (size_t)(block.count + WARP - 1) / WARP)
    block.warps.resize((size_t)(block.count + WARP - 1) / WARP);
  for (warp &w : block.warps) {
    w.waiting = 0;
    memset(w.shuffles, 0, sizeof w.shuffles);
  }
  block.ready.clear();
  size_t next = 0;
  while (block.done < block.count) {
    if (next < block.ready.size()) {
      int t = block.ready[next++];
      to_coroutine(block.threads[(size_t)t].coroutine);
    } else if (block.started < block.count) {
      int i = idle.empty() ? new_coroutine() : idle.back();
      if (!idle.empty()) idle.pop_back();
      to_coroutine(i);
    } else if (block.at_barrier > 0) {
      block.ready.clear();
      next = 0;
      release_barrier();
    } else {
      die("a shuffle that not every lane of the warp reaches");
    }
  }
}

}  // namespace

void __syncthreads() {
  block.at_barrier++;
  wait_as(AT_BARRIER);
}

void emulated_exchange(unsigned mask, const void *value, size_t bytes, int source, void *result) {
  if (mask != 0xffffffffu) die("a shuffle of a part of the warp, which is not emulated");
  int t = coroutines[(size_t)current]->thread, lane = t % WARP;
  size_t first = (size_t)(t / WARP * WARP);
  warp *w = &block.warps[(size_t)(t / WARP)];
  int slot = w->shuffles[lane]++ % 2;
  memcpy(w->slot[slot][lane], value, bytes);
  if (++w->waiting == WARP) { /* the last lane wakes the others */
    w->waiting = 0;
    for (size_t i = first; i < first + WARP; i++)
      if ((int)i != t) block.threads[i].at = RUNNING, block.ready.push_back((int)i);
  } else {
    wait_as(AT_SHUFFLE);
    w = &block.warps[(size_t)(t / WARP)];
  }
  memcpy(result, w->slot[slot][source % WARP], bytes);
}

void emulated_misaligned(const void *pointer, size_t bytes) {
  char text[96];
  snprintf(text, sizeof text, "an access of %zu bytes to %p", bytes, pointer);
  die(text);
}

namespace {

struct alignas(64) launch {
  const char *kernel;
  dim3 grid, block;
  void (*call)(const void *);
};

/* The closure follows the launch. */
void run_launch(const void *work) {
  const launch *l = static_cast<const launch *>(work);
  const dim3 grid = l->grid;
  block.kernel = l->kernel;
  block.call = l->call;
  block.closure = l + 1;
  block.count = (int)(l->block.x * l->block.y * l->block.z);
  gridDim = grid;
  blockDim = l->block;
  threadIdx = {0, 0, 0};
  blockIdx = {0, 0, 0};
  emulated_kernel = l->kernel;
  uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
  if (blocks == 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 2147483647u) die("a grid that no GPU supports");
  if (block.count < 1 || block.count > 1024) die("a block that no GPU supports");
  launches++;
  mix(block.count, &block.order);
  for (uint64_t i = 0; i < blocks; i++) {
    uint64_t b = launches % 2 ? i : blocks - 1 - i;
    blockIdx = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / grid.x / grid.y)};
    if (i < SPOILT_BLOCKS) spoil_shared();
    run_block();
  }
  emulated_kernel = NULL;
}

}  // namespace

void emulated_launch(emulated_site *site, dim3 grid, dim3 block_size, cudaStream_t stream, void (*call)(const void *),
                     const void *closure, size_t bytes) {
  const launch l = {site->kernel, grid, block_size, call};
  emulated_note(emulated_enqueue_with(stream, site, run_launch, &l, sizeof l, closure, bytes));
}
