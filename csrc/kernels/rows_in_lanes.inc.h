/* What a unit of several rows needs where it stands in a vector: activation, loss and sums of
 * single elements, for kernels that keep it in registers. */

/* --- the activation of one vector: its functions, called with what they read --- */

typedef struct vector_activation {
    vector_function value; /* of z */
    vector_function slope; /* of a, or z, and da */
    bool reads_z;
    vec parameter;
} vector_activation;

static vector_activation vector_activation_of(const fbp_op *op)
{
    static const vector_function values[] = {
        [FBP_ACTIVATION_identity] = identity_of,
        [FBP_ACTIVATION_sigmoid] = sigmoid_of,
        [FBP_ACTIVATION_tanh] = tanh_of,
        [FBP_ACTIVATION_relu] = relu_of,
        [FBP_ACTIVATION_leaky_relu] = leaky_relu_of,
        [FBP_ACTIVATION_elu] = elu_of,
        [FBP_ACTIVATION_gelu] = gelu_of,
        [FBP_ACTIVATION_silu] = silu_of,
        [FBP_ACTIVATION_mish] = mish_of,
        [FBP_ACTIVATION_softplus] = softplus_of,
    };
    static const vector_function slopes[] = {
        [FBP_ACTIVATION_identity] = identity_slope,
        [FBP_ACTIVATION_sigmoid] = sigmoid_slope,
        [FBP_ACTIVATION_tanh] = tanh_slope,
        [FBP_ACTIVATION_relu] = relu_slope,
        [FBP_ACTIVATION_leaky_relu] = leaky_relu_slope,
        [FBP_ACTIVATION_elu] = elu_slope,
        [FBP_ACTIVATION_gelu] = gelu_slope,
        [FBP_ACTIVATION_silu] = silu_slope,
        [FBP_ACTIVATION_mish] = mish_slope,
        [FBP_ACTIVATION_softplus] = softplus_slope,
    };
    return (vector_activation){
        .value = values[op->activation],
        .slope = slopes[op->activation],
        .reads_z = op->saved != FBP_NONE,
        .parameter = v_set((real)op->parameter),
    };
}

/* `sigmoid` is a constant where these are inlined: true where the activation is known to be one, so
 * that it is no call. */
INLINE vec activated(const vector_activation *f, const bool sigmoid, vec z)
{
    return sigmoid ? sigmoid_of(z, z, z) : f->value(z, z, f->parameter);
}

/* dL/dz from dL/da */
INLINE vec activated_backward(const vector_activation *f, const bool sigmoid, vec z, vec a, vec da)
{
    return sigmoid ? sigmoid_slope(a, da, a) : f->slope(f->reads_z ? z : a, da, f->parameter);
}

/* --- losses of single elements --- */

/* What a loss needs of an element: its derivative before the factor of the row, and what the
 * float64 term of the loss is computed from. */
typedef struct compared {
    vec slope, error;
} compared;

/* y is the output, or z where the loss is fused with the activation. */
INLINE compared compare(fbp_loss loss, real parameter, vec y, vec t)
{
    const vec e = v_sub(y, t), size = v_set(parameter), zero = v_set(0);
    switch (loss) {
    case FBP_LOSS_squared_error:
    case FBP_LOSS_mean_squared_error: return (compared){v_add(e, e), e};
    case FBP_LOSS_mean_absolute_error: {
        const vec low = v_select(v_lt(e, zero), v_set(-1), v_sub(e, e));
        return (compared){v_select(v_gt(e, zero), v_set(1), low), e};
    }
    case FBP_LOSS_huber: {
        const vec low = v_select(v_lt(e, v_neg(size)), v_neg(size), e);
        return (compared){v_select(v_gt(e, size), size, low), e};
    }
    case FBP_LOSS_binary_crossentropy:
        return (compared){v_sub(sigmoid_of(y, y, y), t), yes_no_term(y, t, y)};
    default: return (compared){e, e};
    }
}

/* The float64 terms of the loss of each row, from the errors; not unrolled, so that compilers make
 * vectors of it. */
#define EACH_ROW(term)                                                                             \
    _Pragma("GCC unroll 1") for (size_t b = 0; b < rows; b++) terms[b] = 0.0 + (term);             \
    break
INLINE void terms_of(fbp_loss loss, double parameter, const size_t rows, const real errors[],
                     double terms[])
{
    switch (loss) {
    case FBP_LOSS_half_squared_error: EACH_ROW(half_square(errors[b], 0));
    case FBP_LOSS_squared_error:
    case FBP_LOSS_mean_squared_error: EACH_ROW(square(errors[b], 0));
    case FBP_LOSS_mean_absolute_error: EACH_ROW(magnitude(errors[b], 0));
    case FBP_LOSS_huber: EACH_ROW(huber_term(errors[b], parameter));
    default: EACH_ROW((double)errors[b]);
    }
}
#undef EACH_ROW

/* --- sums over the rows of a group --- */

/* x + 0: turns -0 into +0. One lane does it by a branch that is as good as never taken, so that
 * nothing waits for it. */
INLINE vec plus_zero(vec x)
{
    real lane[LANES];
    if (LANES > 1) return v_add(x, v_set(0));
    v_store(lane, x);
    if (__builtin_expect(lane[0] == 0 && signbit(lane[0]), 0)) return v_set(0);
    return x;
}

/* The halving tree of narrow_sum over a group whose first `rows` lanes, in the first `vectors`
 * vectors, hold what is summed, and the others +0. The tree adds those too: the first such sum
 * turns -0 into +0, and further ones change nothing. */
INLINE real rows_sum(const int vectors, const size_t rows, vec sum[])
{
    if (rows <= ROW_LANES / 2) sum[0] = plus_zero(sum[0]);
    for (int half = ROW_VECTORS / 2; half > 0; half /= 2)
        for (int j = 0; j < half && j + half < vectors; j++) sum[j] = v_add(sum[j], sum[j + half]);
    return v_sum(sum[0], rows);
}
