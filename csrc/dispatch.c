/* Which kernel table runs: by the CPU's features, or as FASTBP_ISA says. */
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

#define FBP_DECLARE(isa) extern const fbp_kernels fbp_kernels_##isa##_32, fbp_kernels_##isa##_64;
FBP_DECLARE(scalar)
#ifdef FBP_HAVE_SCALAR_FMA
FBP_DECLARE(scalar_fma)
#endif
#ifdef FBP_HAVE_AVX2
FBP_DECLARE(avx2)
#endif
#ifdef FBP_HAVE_AVX512
FBP_DECLARE(avx512)
#endif
#ifdef FBP_HAVE_NEON
FBP_DECLARE(neon)
#endif

typedef struct table {
    const char *name;
    const fbp_kernels *of_4_bytes, *of_8_bytes;
    bool (*available)(void);
} table;

static bool always(void) { return true; }

/* __builtin_cpu_supports goes by CPUID's features, never by models, and asks by XGETBV whether the
 * operating system saves the registers: of AVX-512 the upper halves, the upper 16 and the masks. */
#if defined FBP_HAVE_SCALAR_FMA || defined FBP_HAVE_AVX2
static bool has_avx2_and_fma(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#ifdef FBP_HAVE_AVX512
static bool has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f");
}
#endif

/* Best last. */
#define FBP_ROW(isa, test) {#isa, &fbp_kernels_##isa##_32, &fbp_kernels_##isa##_64, test}
static const table tables[] = {
    FBP_ROW(scalar, always),
#ifdef FBP_HAVE_SCALAR_FMA
    FBP_ROW(scalar_fma, has_avx2_and_fma),
#endif
#ifdef FBP_HAVE_AVX2
    FBP_ROW(avx2, has_avx2_and_fma),
#endif
#ifdef FBP_HAVE_AVX512
    FBP_ROW(avx512, has_avx512),
#endif
#ifdef FBP_HAVE_NEON
    FBP_ROW(neon, always), /* every AArch64 CPU has it */
#endif
};
#define N_TABLES (sizeof tables / sizeof *tables)

static const table *chosen;

bool fbp_choose_isa(const char *name)
{
    if (!name) name = getenv("FASTBP_ISA");
    for (size_t i = N_TABLES; i-- > 0;) {
        bool wanted = !name || !*name || strcmp(name, tables[i].name) == 0;
        if (!wanted || !tables[i].available()) continue;
        chosen = &tables[i];
        return true;
    }
    return false;
}

const fbp_kernels *fbp_kernels_for(size_t itemsize)
{
    return itemsize == 4 ? chosen->of_4_bytes : chosen->of_8_bytes;
}

/* In one lane nothing is spent on the others, and sums over lanes are there at once. */
const fbp_kernels *fbp_kernels_for_one_row(const fbp_kernels *kernels)
{
#ifdef FBP_HAVE_SCALAR_FMA
    if (strncmp(kernels->isa, "avx", 3) == 0)
        return kernels->itemsize == 4 ? &fbp_kernels_scalar_fma_32 : &fbp_kernels_scalar_fma_64;
#endif
    return kernels;
}

size_t fbp_n_isas(void) { return N_TABLES; }
const char *fbp_isa_name(size_t index) { return tables[index].name; }
bool fbp_isa_available(size_t index) { return tables[index].available(); }

const char *fbp_build_compiler(void)
{
#ifdef __clang__
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

#ifndef FBP_BUILD_SWITCHES
#define FBP_BUILD_SWITCHES ""
#endif
const char *fbp_build_switches(void) { return FBP_BUILD_SWITCHES; }
