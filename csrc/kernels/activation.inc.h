/* Activation functions, forward and backward. fastbp/activations.py has the formulas. */

/* f(z, -, parameter) */
INLINE vec identity_of(vec z, vec b, vec c) { return (void)b, (void)c, z; }
INLINE vec sigmoid_of(vec z, vec b, vec c) { return (void)b, (void)c, m_sigmoid(z); }
INLINE vec tanh_of(vec z, vec b, vec c) { return (void)b, (void)c, m_tanh(z); }
INLINE vec relu_of(vec z, vec b, vec c) { return (void)b, (void)c, v_max(v_set(0), z); }
INLINE vec leaky_relu_of(vec z, vec b, vec slope)
{
    return (void)b, v_select(v_gt(z, v_set(0)), z, v_mul(slope, z));
}
INLINE vec elu_of(vec z, vec b, vec alpha)
{
    return (void)b, v_select(v_gt(z, v_set(0)), z, v_mul(alpha, m_expm1(z)));
}
/* Where Phi(z) is a normal number, at most 16.5 (float) or 24.5 (double) units in the last place
 * off: those of normal_cdf, 8 or 12, may count twice relative to the product, whose rounding adds
 * half. */
INLINE vec gelu_of(vec z, vec b, vec c) { return (void)b, (void)c, v_mul(z, m_normal_cdf(z)); }
INLINE vec silu_of(vec z, vec b, vec c) { return (void)b, (void)c, v_mul(z, m_sigmoid(z)); }
/* At most 7.5 (float) or 9.5 (double) units off where e^z is a normal number or 0: those of exp, 2
 * or 3, may count twice relative to h, whose rounding and the two of h / (1 + h) add one each. */
INLINE vec mish_of(vec z, vec b, vec c) { return (void)b, (void)c, v_mul(z, m_tanh_softplus(z)); }
INLINE vec softplus_of(vec z, vec b, vec c)
{
    (void)b, (void)c;
    return v_add(v_max(v_set(0), z), m_log1p(m_exp(v_neg(v_abs(z)))));
}

/* da f'(z): f(a or z, da, parameter) */
INLINE vec identity_slope(vec a, vec da, vec c) { return (void)a, (void)c, da; }
INLINE vec sigmoid_slope(vec a, vec da, vec c)
{
    return (void)c, v_mul(da, v_mul(a, v_sub(v_set(1), a)));
}
INLINE vec tanh_slope(vec a, vec da, vec c) { return (void)c, v_mul(da, v_fnma(a, a, v_set(1))); }
INLINE vec relu_slope(vec a, vec da, vec c)
{
    return (void)c, v_select(v_gt(a, v_set(0)), da, v_set(0));
}
INLINE vec leaky_relu_slope(vec a, vec da, vec slope)
{
    return v_select(v_gt(a, v_set(0)), da, v_mul(slope, da));
}
INLINE vec elu_slope(vec a, vec da, vec alpha)
{
    return v_select(v_gt(a, v_set(0)), da, v_mul(da, v_add(a, alpha)));
}
INLINE vec gelu_slope(vec z, vec da, vec c)
{
    vec density, cdf = m_normal(z, &density);
    return (void)c, v_mul(da, v_fma(z, density, cdf));
}
INLINE vec silu_slope(vec z, vec da, vec c)
{
    (void)c;
    vec s = m_sigmoid(z);
    return v_mul(da, v_mul(s, v_fma(z, v_sub(v_set(1), s), v_set(1))));
}
/* t + z dt/dz for t = h / (1 + h), with dt/dz = e (1 + e) / (1 + h)^2, e = e^z */
INLINE vec mish_slope(vec z, vec da, vec c)
{
    (void)c;
    vec e;
    const vec h = exp_and_half_square(z, &e);
    const vec u = v_div(v_set(1), v_add(h, v_set(1)));
    const vec z_u = v_mul(v_min(v_set(MISH_HIGHEST), z), u);
    return v_mul(da, v_mul(u, v_fma(z_u, v_fma(e, e, e), h)));
}
INLINE vec softplus_slope(vec z, vec da, vec c) { return (void)c, v_mul(da, m_sigmoid(z)); }

static void activate(fbp_activation f, double parameter, size_t n, const void *z, void *a)
{
    real c = (real)parameter;
    switch (f) {
    case FBP_ACTIVATION_sigmoid: map_constant(sigmoid_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_tanh: map_constant(tanh_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_relu: map_constant(relu_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_leaky_relu: map_constant(leaky_relu_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_elu: map_constant(elu_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_gelu: map_constant(gelu_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_silu: map_constant(silu_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_mish: map_constant(mish_of, n, z, z, c, a); break;
    case FBP_ACTIVATION_softplus: map_constant(softplus_of, n, z, z, c, a); break;
    default:
        if (a != z) map_constant(identity_of, n, z, z, c, a);
    }
}

static void activate_backward(fbp_activation f, double parameter, size_t n, const void *z,
                              const void *a, const void *da, void *dz)
{
    real c = (real)parameter;
    switch (f) {
    case FBP_ACTIVATION_sigmoid: map_constant(sigmoid_slope, n, a, da, c, dz); break;
    case FBP_ACTIVATION_tanh: map_constant(tanh_slope, n, a, da, c, dz); break;
    case FBP_ACTIVATION_relu: map_constant(relu_slope, n, a, da, c, dz); break;
    case FBP_ACTIVATION_leaky_relu: map_constant(leaky_relu_slope, n, a, da, c, dz); break;
    case FBP_ACTIVATION_elu: map_constant(elu_slope, n, a, da, c, dz); break;
    case FBP_ACTIVATION_gelu: map_constant(gelu_slope, n, z, da, c, dz); break;
    case FBP_ACTIVATION_silu: map_constant(silu_slope, n, z, da, c, dz); break;
    case FBP_ACTIVATION_mish: map_constant(mish_slope, n, z, da, c, dz); break;
    case FBP_ACTIVATION_softplus: map_constant(softplus_slope, n, z, da, c, dz); break;
    default:
        if (dz != da) map_constant(identity_of, n, da, da, c, dz);
    }
}
