/* Matrix products by register tiles.
 *
 * A tile holds up to TILE_ROWS x TILE_VECTORS accumulators and is compiled for each number of rows
 * and for 1, 2, 4, ... vectors, so that every loop over accumulators has constant bounds. Fewer
 * rows take more vectors: a fused multiply-add takes some 4 cycles and two may start in one, so 8
 * accumulators are the fewest that keep both units busy. Columns beyond n are computed from the
 * padding and not stored. */

#define TILE_SIZE    (TILE_ROWS * TILE_VECTORS)
#define TILE_COLUMNS (TILE_VECTORS * LANES)
#define MOST_VECTORS 8
#define TERMS_AHEAD  4 /* beside a panel, a cache keeps so many of one place */
_Static_assert(TILE_ROWS <= 8, "TILE_SIZES ends there");
_Static_assert((TILE_VECTORS & (TILE_VECTORS - 1)) == 0, "a strip is as wide as a tile");

/* Where a tile stands. */
typedef struct place {
    const real *a;
    ptrdiff_t a_m, a_k;
    bool filled; /* a is the product's block */
    const real *b;
    ptrdiff_t b_k;
    real *block; /* takes a copy of A, unless NULL: TILE_ROWS elements a term */
    real *panel; /* takes a copy of B, unless NULL: TILE_COLUMNS elements a term */
    real *c;
    const real *bias; /* or NULL */
    size_t n;
} place;

/* Elements from one tile of rows in a block to the next: copies may run over its end. */
INLINE ptrdiff_t block_pitch(size_t k) { return (ptrdiff_t)k * TILE_ROWS + ROW_LANES; }

/* The accumulators of a tile. */
typedef vec sums[TILE_ROWS][MOST_VECTORS];

/* The loops over them, unrolled so that each stays in a register. */
#define EACH_VECTOR                                                                                \
    _Pragma("GCC unroll 16") for (int i = 0; i < rows; i++)                                        \
        _Pragma("GCC unroll 16") for (int j = 0; j < vectors; j++)

/* `last`: columns of the last vector of a row. */
INLINE void load_tile(const int rows, const int vectors, const real *from, ptrdiff_t row,
                      size_t last, sums c)
{
    EACH_VECTOR
    {
        size_t n = j + 1 < vectors ? (size_t)LANES : last;
        c[i][j] = v_load_part(from + i * row + j * LANES, n);
    }
}

INLINE void store_tile(const int rows, const int vectors, sums c, real *to, ptrdiff_t row,
                       size_t last)
{
    EACH_VECTOR
    {
        size_t n = j + 1 < vectors ? (size_t)LANES : last;
        v_store_part(to + i * row + j * LANES, c[i][j], n);
    }
}

/* `rows` elements, filled up to whole vectors: from what stands behind them, or with zeros if
 * these are the last. */
INLINE void copy_over(const int rows, const real *from, bool last, real *to)
{
#pragma GCC unroll 16
    for (int i = 0; i < rows; i += LANES) {
        size_t n = last && rows - i < LANES ? (size_t)(rows - i) : (size_t)LANES;
        v_store(to + i, v_load_part(from + i, n));
    }
}

/* The chains of one row, which uses each number of B once: it needs no register of its own, and
 * there are none left beside MOST_VECTORS accumulators. */
INLINE void chain_row(const int vectors, const place *at, size_t k, vec c[])
{
    const real *a = at->a, *b = at->b;
    for (; k > 0; k--, a += at->a_k, b += at->b_k) {
        vec a_k = v_set(*a);
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++) c[j] = v_fma(a_k, v_load(b + j * LANES), c[j]);
    }
}

/* The next term of a tile's chains. */
INLINE void add_term(const int rows, const int vectors, const real *a, ptrdiff_t a_m,
                     const vec row[], sums c)
{
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        vec a_ik = v_set(a[i * a_m]);
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++) c[i][j] = v_fma(a_ik, row[j], c[i][j]);
    }
}

INLINE void load_row(const int vectors, const real *b, vec row[])
{
#pragma GCC unroll 16
    for (int j = 0; j < vectors; j++) row[j] = v_load(b + j * LANES);
}

/* The chains of a tile, k terms of each. */
INLINE void chain_tile(const int rows, const int vectors, const place *at, size_t k, sums c)
{
    const real *a = at->a, *b = at->b;
    const ptrdiff_t a_m = at->a_m, a_k = at->a_k, b_k = at->b_k;
#pragma GCC unroll 4
    for (; k > 0; k--, a += a_k, b += b_k) {
        vec row[MOST_VECTORS];
        load_row(vectors, b, row);
        add_term(rows, vectors, a, a_m, row, c);
    }
}

/* The same, with copies of A, B or both on the way. Rows of B that are a power of two apart share
 * few places in a cache: those of the next terms are asked for only shortly before they are read,
 * and those of the next strip when they are at hand. */
INLINE void chain_and_copy(const int rows, const int vectors, const place *at, size_t k, sums c)
{
    const real *a = at->a, *b = at->b;
    real *block = at->block, *panel = at->panel;
    for (; k > 0; k--, a += at->a_k, b += at->b_k) {
        vec row[MOST_VECTORS];
        load_row(vectors, b, row);
        if (panel) {
#pragma GCC unroll 16
            for (int j = 0; j < vectors; j++) v_store(panel + j * LANES, row[j]);
            panel += TILE_COLUMNS;
            __builtin_prefetch(b + TERMS_AHEAD * at->b_k);
            __builtin_prefetch(b + TILE_COLUMNS);
        }
        if (block) {
            copy_over(rows, a, k == 1, block);
            block += TILE_ROWS;
        }
        add_term(rows, vectors, a, at->a_m, row, c);
    }
}

/* What is stored for chains, from what C holds. */
INLINE void finish_tile(const int rows, const int vectors, const fbp_product *product,
                        const place *at, size_t last, sums c)
{
    sums before;
    if (product->chain == FBP_CHAIN_ADD) {
        load_tile(rows, vectors, at->c, product->c_m, last, before);
        EACH_VECTOR c[i][j] = v_add(before[i][j], c[i][j]);
    }
    if (at->bias) EACH_VECTOR c[i][j] = v_add(c[i][j], v_load(at->bias + j * LANES));
    if (product->activation == FBP_ACTIVATION_relu) EACH_VECTOR c[i][j] = v_max(v_set(0), c[i][j]);
    store_tile(rows, vectors, c, at->c, product->c_m, last);
}

INLINE void tile(const int rows, const int vectors, const fbp_product *product, const place *at)
{
    if (rows > TILE_ROWS || rows * vectors > TILE_SIZE) return; /* a size that nobody asks for */
    sums c;
    size_t last = at->n - (size_t)(vectors - 1) * LANES;
    if (product->chain == FBP_CHAIN_ADD)
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) __builtin_prefetch(at->c + i * product->c_m, 1);
    if (product->chain == FBP_CHAIN_CONTINUE)
        load_tile(rows, vectors, at->c, product->c_m, last, c);
    else
        EACH_VECTOR c[i][j] = v_set(0);
    if (rows == 1 && !at->block)
        chain_row(vectors, at, product->k, c[0]);
    else if (at->block || at->panel)
        chain_and_copy(rows, vectors, at, product->k, c);
    else
        chain_tile(rows, vectors, at, product->k, c);
    if (last == LANES) /* without masks */
        finish_tile(rows, vectors, product, at, LANES, c);
    else
        finish_tile(rows, vectors, product, at, last, c);
}

/* clang-format off */
#define TILE_SIZES(X) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4) X(7, 4) X(8, 4) \
    X(1, 8) X(2, 8) X(3, 8) X(4, 8) X(5, 8) X(6, 8) X(7, 8) X(8, 8)
/* clang-format on */

/* To the tile below, which finds B in the panel if this one has copied it. */
INLINE void move_down(const int rows, const fbp_product *product, place *at)
{
    at->a += at->filled ? block_pitch(product->k) : rows * product->a_m;
    at->c += rows * product->c_m;
    if (at->block) at->block += block_pitch(product->k);
    if (at->panel) {
        at->b = at->panel;
        at->b_k = TILE_COLUMNS;
        at->panel = NULL;
    }
}

#define AS_FUNCTION(rows, vectors)                                                                 \
    static void tiles_##rows##_##vectors(const fbp_product *product, place *at, size_t tiles)      \
    {                                                                                              \
        for (; tiles > 0; tiles--) {                                                               \
            tile(rows, vectors, product, at);                                                      \
            move_down(rows, product, at);                                                          \
        }                                                                                          \
    }
TILE_SIZES(AS_FUNCTION)

#define AS_ENTRY(rows, vectors) [rows][vectors] = tiles_##rows##_##vectors,
static void (*const tile_functions[][MOST_VECTORS + 1])(const fbp_product *product, place *at,
                                                        size_t tiles) = {TILE_SIZES(AS_ENTRY)};

/* to(j, i) = from(i, j) for one block of at most LANES x LANES. */
INLINE void transpose_block(size_t m, size_t n, const real *from, ptrdiff_t from_m, real *to,
                            ptrdiff_t to_n)
{
    vec block[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        block[i] = (size_t)i < m ? v_load_part(from + i * from_m, n) : v_set(0);
    v_transpose(block);
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++)
        if ((size_t)j < n) v_store_part(to + j * to_n, block[j], m);
}

static void transpose(size_t m, size_t n, const void *from, ptrdiff_t from_m, void *to,
                      ptrdiff_t to_n)
{
    for (size_t i = 0; i < m; i += LANES)
        for (size_t j = 0; j < n; j += LANES) {
            const real *block = (const real *)from + (ptrdiff_t)i * from_m + j;
            real *transposed = (real *)to + (ptrdiff_t)j * to_n + i;
            if (m - i >= LANES && n - j >= LANES)
                transpose_block(LANES, LANES, block, from_m, transposed, to_n);
            else
                transpose_block(m - i, n - j, block, from_m, transposed, to_n);
        }
}

/* A is cut into as few tiles of rows as can be, nearly equal. */
INLINE size_t tiles_of(size_t m) { return (m + TILE_ROWS - 1) / TILE_ROWS; }
INLINE size_t rows_of_next(size_t m, size_t tiles) { return (m + tiles - 1) / tiles; }

/* A in the product's block, from rows of contiguous terms. */
static void fill_block(const fbp_product *product)
{
    const real *a = product->a;
    real *block = product->block;
    for (size_t m = product->m, tiles = tiles_of(m), rows; tiles > 0; tiles--, m -= rows) {
        rows = rows_of_next(m, tiles);
        transpose(rows, product->k, a, product->a_m, block, TILE_ROWS);
        a += (ptrdiff_t)rows * product->a_m;
        block += block_pitch(product->k);
    }
}

/* `n` columns from j on, of at most so many vectors: tile under tile. `filled`: A is in its block;
 * if not it comes there, if there is one. */
static void strip(const fbp_product *product, bool filled, size_t j, size_t n, int vectors)
{
    const real *b = (const real *)product->b + (ptrdiff_t)j * product->b_n, *bias = product->bias;
    place at = {.a = product->a, .a_m = product->a_m, .a_k = product->a_k, .b = b, .n = n};
    size_t m = product->m, tiles = tiles_of(m), rows, alike;
    at.b_k = product->b_k;
    at.c = (real *)product->c + j;
    if (bias) at.bias = bias + j;
    at.filled = filled;
    if (filled) {
        at.a = product->block;
        at.a_m = 1;
        at.a_k = TILE_ROWS;
    } else {
        at.block = product->block;
    }
    if (product->b_n != 1) {
        transpose(n, product->k, b, product->b_n, product->panel, TILE_COLUMNS);
        at.b = product->panel;
        at.b_k = TILE_COLUMNS;
    } else if (tiles > 1) {
        at.panel = product->panel;
    }
    for (; tiles > 0; tiles -= alike, m -= alike * rows) {
        rows = rows_of_next(m, tiles);
        alike = m % tiles ? m % tiles : tiles;
        tile_functions[rows][vectors](product, &at, alike);
    }
}

static void matmul(const fbp_product *product)
{
    size_t rows = product->m < TILE_ROWS ? product->m : TILE_ROWS, n;
    bool filled = product->block && product->a_m != 1;
    int vectors = MOST_VECTORS;
    if (filled) fill_block(product);
    if (product->b_n != 1) rows = TILE_ROWS; /* the panel is as wide as a whole tile */
    while (rows * (size_t)vectors > TILE_SIZE) vectors /= 2;
    for (size_t j = 0; j < product->n; j += n) {
        size_t left = product->n - j;
        while (left <= (size_t)(vectors - 1) * LANES) vectors /= 2;
        n = left < (size_t)vectors * LANES ? left : (size_t)vectors * LANES;
        strip(product, filled, j, n, vectors);
        filled = product->block;
    }
}
