/* Elements of every type that data may come in, rounded to real. */

#define CONVERT(name, type)                                                                        \
    static void convert_##name(size_t n, const void *from, void *to)                               \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) ((real *)to)[i] = (real)((const type *)from)[i];            \
    }
FBP_SOURCES(CONVERT)
