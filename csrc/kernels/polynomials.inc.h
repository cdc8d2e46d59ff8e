/* Printed by polynomials.py: the coefficients of math.inc.h, lowest power first. Errors
 * are relative to the function, in units of 2^-24 (float) or 2^-53 (double). */
/* clang-format off */

#if FBP_REAL_BITS == 32

#define TAIL_CENTER 3

/* (e^r - 1 - r) / r^2 for r in [0.0, 0.693]; error 0.42 */
static const real EXP_UPWARD[5] = {
    0x1.00001ep-1f,
    0x1.554b3ap-3f,
    0x1.56648ap-5f,
    0x1.04dc3cp-7f,
    0x1.e7f19cp-10f,
};

/* (e^r - 1 - r) / r^2 for r in [-0.347, 0.347]; error 0.28 */
static const real EXP_NEAREST[5] = {
    0x1.fffffep-2f,
    0x1.5554bp-3f,
    0x1.555674p-5f,
    0x1.122764p-7f,
    0x1.6beb88p-10f,
};

/* (2 atanh(s) / s - 2) / z, z = s^2, for |s| <= 0.172; error 0.015 */
static const real LOG[3] = {
    0x1.55557ap-1f,
    0x1.995eaep-2f,
    0x1.31e478p-2f,
};

/* (2 atanh(s) / s - 2) / z, z = s^2, for |s| <= 0.333; error 0.082 */
static const real LOG1P[4] = {
    0x1.5555p-1f,
    0x1.99d282p-2f,
    0x1.1eb5bp-2f,
    0x1.1efa4cp-2f,
};

/* erf(x) / x - 1 as a function of u = x^2 for |x| <= 1; error 0.071 */
static const real ERF[7] = {
    0x1.06eba8p-3f,
    -0x1.81273ep-2f,
    0x1.ce2cf8p-4f,
    -0x1.b7f90cp-6f,
    0x1.5405bp-8f,
    -0x1.a3f6fep-11f,
    0x1.496a4cp-14f,
};

/* (z + 3) Phi(-z) e^(z^2/2) as a function of v = (z - 3) / (z + 3), z <= 13.3; error 1.5 */
static const real TAIL[10] = {
    0x1.754a76p-1f,
    -0x1.04c72ep-1f,
    0x1.d7139ep-3f,
    -0x1.8324bap-5f,
    -0x1.56e85ap-7f,
    0x1.c6cb72p-8f,
    0x1.0d1e16p-10f,
    -0x1.f040a6p-11f,
    -0x1.c62222p-13f,
    0x1.7721eap-15f,
};

#else

#define TAIL_CENTER 5

/* (e^r - 1 - r) / r^2 for r in [0.0, 0.693]; error 0.2 */
static const real EXP_UPWARD[10] = {
    0x1.fffffffffffa8p-2,
    0x1.555555555869dp-3,
    0x1.55555554250e8p-5,
    0x1.1111114afacbep-7,
    0x1.6c16b4cd889f3p-10,
    0x1.a01bb34999344p-13,
    0x1.9ff4f8b98ed9bp-16,
    0x1.73e14e8532955p-19,
    0x1.16c23b2c3ed68p-22,
    0x1.2743935ede27p-25,
};

/* (e^r - 1 - r) / r^2 for r in [-0.347, 0.347]; error 0.28 */
static const real EXP_NEAREST[10] = {
    0x1.0000000000005p-1,
    0x1.555555555553ap-3,
    0x1.55555555522c1p-5,
    0x1.1111111118f7p-7,
    0x1.6c16c17ed9151p-10,
    0x1.a01a0175260f9p-13,
    0x1.a019a77745a1ep-16,
    0x1.71de87eab11fdp-19,
    0x1.28a1d7cf0dbabp-22,
    0x1.ae6bc0ae89aacp-26,
};

/* (2 atanh(s) / s - 2) / z, z = s^2, for |s| <= 0.172; error 0.017 */
static const real LOG[7] = {
    0x1.5555555555593p-1,
    0x1.999999997fc84p-2,
    0x1.2492494203716p-2,
    0x1.c71c51f9839a1p-3,
    0x1.7466425a29a33p-3,
    0x1.39a15d065b7c5p-3,
    0x1.2f0942f157421p-3,
};

/* (2 atanh(s) / s - 2) / z, z = s^2, for |s| <= 0.333; error 0.45 */
static const real LOG1P[9] = {
    0x1.5555555555948p-1,
    0x1.99999998e95f2p-2,
    0x1.24924979245f5p-2,
    0x1.c71c4a0e94f8p-3,
    0x1.746259e9c63bp-3,
    0x1.3aa88c32cb973p-3,
    0x1.1644f3f3b9e94p-3,
    0x1.95689015d4e4ap-4,
    0x1.6b863e346efdap-3,
};

/* erf(x) / x - 1 as a function of u = x^2 for |x| <= 1; error 0.1 */
static const real ERF[13] = {
    0x1.06eba8214db69p-3,
    -0x1.812746b0379e6p-2,
    0x1.ce2f21a042b2p-4,
    -0x1.b82ce3128499cp-6,
    0x1.565bcd0db02d9p-8,
    -0x1.c02db3d8ed225p-11,
    0x1.f9a321a11f08fp-14,
    -0x1.f4d1df396dc2ap-17,
    0x1.b9def19fd2c97p-20,
    -0x1.5f1d36d1f125p-23,
    0x1.f7a412cfe7d26p-27,
    -0x1.386ac2a60cff5p-30,
    0x1.0579afb9c2dfbp-34,
};

/* (z + 5) Phi(-z) e^(z^2/2) as a function of v = (z - 5) / (z + 5), z <= 37.7; error 1.0 */
static const real TAIL[22] = {
    0x1.89d3abe1f95aep-1,
    -0x1.54ad03f27ca16p-1,
    0x1.fb31653876f95p-2,
    -0x1.410ed5f875b08p-2,
    0x1.51f6329f0172fp-3,
    -0x1.1b1c254c959b8p-4,
    0x1.54b4d4f4bbab3p-6,
    -0x1.88590eb382b09p-9,
    -0x1.a25037c80f977p-11,
    0x1.1daf1e65f03f8p-11,
    -0x1.f2146935b54c9p-15,
    -0x1.a1712be4075dap-15,
    0x1.17dd4ddb2b499p-16,
    0x1.0b300bd5a27a5p-18,
    -0x1.73aea43bf9855p-19,
    -0x1.6a8ad05b80528p-22,
    0x1.d0e8704b12ad1p-22,
    0x1.7660ddc6548e6p-25,
    -0x1.199b86defec48p-24,
    -0x1.6090ed4279b23p-27,
    0x1.f3a205aef5944p-28,
    0x1.19f4ce8a89a47p-29,
};

/* sin(pi y / 2) / y as a function of u = y^2 for |y| <= 1/2; error 0.45 */
static const real SINE[7] = {
    0x1.921fb54442d18p+0,
    -0x1.4abbce625be41p-1,
    0x1.466bc677586fep-4,
    -0x1.32d2cce2d5223p-8,
    0x1.50782fca2e795p-13,
    -0x1.e300639d1883cp-19,
    0x1.e3eed66b2267p-25,
};

#endif
