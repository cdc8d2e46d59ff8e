/* Subnormal numbers count as zero on this thread from fbp_flush_begin on, up to fbp_flush_end,
 * which restores the mode that the first returned. Arithmetic between the two has to stand in
 * functions that a compiler does not see into, or it may move it out. */
#ifndef FASTBP_FLUSH_H
#define FASTBP_FLUSH_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#define FBP_FLUSH_MODE 0x8040u /* flush to zero, denormals are zero */
static inline uint64_t fbp_flush_begin(void)
{
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FBP_FLUSH_MODE);
    return mode;
}
static inline void fbp_flush_end(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
#define FBP_FLUSH_MODE (UINT64_C(1) << 24) /* FPCR.FZ */
static inline uint64_t fbp_flush_begin(void)
{
    uint64_t mode;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(mode | FBP_FLUSH_MODE));
    return mode;
}
static inline void fbp_flush_end(uint64_t mode)
{
    __asm__ __volatile__("msr fpcr, %0" : : "r"(mode));
}
#else
static inline uint64_t fbp_flush_begin(void) { return 0; }
static inline void fbp_flush_end(uint64_t mode) { (void)mode; }
#endif

#endif
