/* Stands before the C library's allocator: counts allocations, and makes a chosen one fail.
 * Preloaded by test_sizes.py; glibc alone has these names for what it replaces. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

atomic_long allocations;       /* all of them */
atomic_long large_allocations; /* those of at least `large_from` bytes */
atomic_long failing = -1;      /* the large one, counted from 0, that fails */
size_t large_from = 1 << 15;

static int fails(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    if (size < large_from || atomic_fetch_add(&large_allocations, 1) != atomic_load(&failing))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails(size) ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return fails(size) ? NULL : __libc_realloc(p, size); }
void *aligned_alloc(size_t to, size_t size)
{
    return fails(size) ? NULL : __libc_memalign(to, size);
}
void *memalign(size_t to, size_t size) { return fails(size) ? NULL : __libc_memalign(to, size); }

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    void *found = fails(size) ? NULL : __libc_memalign(alignment, size);
    if (found == NULL) return ENOMEM;
    *memory = found;
    return 0;
}
