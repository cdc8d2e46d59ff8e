/* Elements of every type that data may come in, rounded to real. */

#define IS_REAL(type) _Generic((type){0}, real: true, default: false)

#define CONVERT(name, type)                                                                        \
    static void convert_##name(size_t n, const void *from, void *to)                               \
    {                                                                                              \
        if (IS_REAL(type))                                                                         \
            memcpy(to, from, n * sizeof(real));                                                    \
        else                                                                                       \
            for (size_t i = 0; i < n; i++) ((real *)to)[i] = (real)((const type *)from)[i];        \
    }
FBP_SOURCES(CONVERT)
