// Vectors of `L` numbers and the elementary functions on them. REAL, VECTOR_BYTES come from the compiler's command line.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

typedef REAL real;
constexpr bool DOUBLE = sizeof(real) == 8;
constexpr int L = VECTOR_BYTES / sizeof(real);

template <bool> struct Integer { typedef int32_t type; };
template <> struct Integer<true> { typedef int64_t type; };
typedef Integer<DOUBLE>::type whole;

typedef real V __attribute__((vector_size(VECTOR_BYTES)));
typedef whole M __attribute__((vector_size(VECTOR_BYTES)));  // masks and bit patterns
typedef real Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")  // short loops over arrays of vectors, which then live in registers

INLINE V load(const real* p) { return *(const Unaligned*)p; }
INLINE void store(real* p, V v) { *(Unaligned*)p = v; }
INLINE V splat(real x) { return x - V{}; }
INLINE V load_part(const real* p, int n) {
    V v{};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
}
INLINE void store_part(real* p, V v, int n) {
    for (int i = 0; i < n; i++) p[i] = v[i];
}
INLINE M bits(V v) { return (M)v; }
INLINE V number(M m) { return (V)m; }
INLINE V pick(M m, V a, V b) { return m ? a : b; }
INLINE V keep(V v, int n) {  // zero from lane n on
    M lane;
    for (int i = 0; i < L; i++) lane[i] = i;
    return number(bits(v) & (lane < (whole)n));
}

constexpr int MANTISSA = DOUBLE ? 52 : 23;
constexpr whole BIAS = DOUBLE ? 1023 : 127;
constexpr real MAGIC = DOUBLE ? 6755399441055744.0 : 12582912.0f;  // 1.5 * 2^MANTISSA: adding it rounds to a whole number
constexpr real INF = std::numeric_limits<real>::infinity();

INLINE V vabs(V x) { return number(bits(x) & std::numeric_limits<whole>::max()); }
INLINE V vmax(V a, V b) { return pick((a > b) | (a != a), a, b); }  // NaN wins, as in torch.maximum
INLINE V vmin(V a, V b) { return pick((a < b) | (a != a), a, b); }
INLINE V copysign(V magnitude, V sign) {
    const M top = bits(splat((real)-0.0));
    return number((bits(magnitude) & ~top) | (bits(sign) & top));
}

template <class F> INLINE V lanes(V x, F f) {
    V y;
    for (int i = 0; i < L; i++) y[i] = f(x[i]);
    return y;
}

INLINE V vsqrt(V x) { return lanes(x, [](real a) { return std::sqrt(a); }); }

// expm1(x) = 2^n (e^r - 1) + (2^n - 1) with x = n ln 2 + r. The polynomial is (expm1(r) - r) / r^2 through Chebyshev
// nodes of |r| <= ln(2) / 2; its relative error is 1e-8 in float and 2e-17 in double.  `scale` is 2^(n - less).
struct Split { V scale, p; };
INLINE Split exp_parts(V x, whole less = 0) {
    const V n = (x * (real)1.4426950408889634074 + MAGIC) - MAGIC;
    const V r = DOUBLE ? (x - n * (real)0.693147180369123816490) - n * (real)1.90821492927058770002e-10
                       : (x - n * (real)0.693359375) + n * (real)2.12194440e-4;
    V q;
    if constexpr (DOUBLE) {
        q = r * (real)2.5100472505694996003e-8 + (real)2.7620201591031548792e-7;
        q = q * r + (real)2.7557268276905696187e-6;
        q = q * r + (real)0.000024801521057868205199;
        q = q * r + (real)0.00019841269863171556026;
        q = q * r + (real)0.0013888888917367080562;
        q = q * r + (real)0.0083333333333300381973;
        q = q * r + (real)0.041666666666623820532;
        q = q * r + (real)0.1666666666666666746;
        q = q * r + (real)0.50000000000000010314;
    } else {
        q = r * (real)0.0013926250831497611718 + (real)0.0083632328836826182041;
        q = q * r + (real)0.041666554212984150314;
        q = q * r + (real)0.16666576666119928305;
        q = q * r + (real)0.5;
    }
    const V p = q * (r * r) + r;
    const V shifted = n + (MAGIC + (real)(BIAS - less));  // the exponent now stands in the low bits
    return {number(bits(shifted) << MANTISSA), p};
}
constexpr real EXP_HIGH = DOUBLE ? 709.782712893384 : 88.72283f;  // beyond is infinite
constexpr real EXP_LOW = DOUBLE ? -708.0 : -87.0;                 // below, where numbers get subnormal, is 0
INLINE V clamp(V x, real low, real high) { return pick(x < low, splat(low), pick(x > high, splat(high), x)); }
INLINE V vexp(V x) {
    const Split s = exp_parts(clamp(x, EXP_LOW, EXP_HIGH), 1);  // 2^(n - 1), since 2^n may be out of range
    V y = (s.scale * s.p + s.scale) * 2;
    y = pick(x > EXP_HIGH, splat(INF), y);
    return pick(x < EXP_LOW, V{}, y);
}
INLINE V vexpm1(V x) {
    const Split s = exp_parts(clamp(x, EXP_LOW, EXP_HIGH), 1);
    const V y = (s.scale * s.p + (s.scale - (real)0.5)) * 2;
    return pick(x > EXP_HIGH, splat(INF), y);
}
INLINE V vsigmoid(V x) {  // finite at both ends, so no special cases
    const Split s = exp_parts(clamp(-x, EXP_LOW, -EXP_LOW));
    return 1 / (s.scale * s.p + (s.scale + 1));
}
INLINE V vtanh(V x) {  // by expm1(-2|x|) in -1..0: full relative accuracy near zero
    const V a = vabs(x);
    const V t = -2 * pick(a > (real)22, splat(22), a);
    const Split s = exp_parts(t);
    const V e = s.scale * s.p + (s.scale - 1);
    return copysign(-e / (e + 2), x);
}

INLINE V log_of_normal(V x, V correction) {  // correction / x is added to the logarithm of 1
    const M i = bits(x) - bits(splat((real)0.70710678118654752440));
    const M e = i >> MANTISSA;
    const V m = number(bits(x) - (e << MANTISSA));  // in sqrt(1/2)..sqrt(2)
    const V f = m - 1, s = f / (2 + f), z = s * s;
    V r;
    if constexpr (DOUBLE) {
        r = z * (real)0.13088034850927553877 + (real)0.13268638369266823874;
        r = r * z + (real)0.15386244737621666606;
        r = r * z + (real)0.18181795547521136235;
        r = r * z + (real)0.22222222392581045097;
        r = r * z + (real)0.28571428570799785031;
        r = r * z + (real)0.40000000000000883236;
        r = r * z + (real)0.66666666666666666463;
    } else {
        r = z * (real)0.29580985929974422655 + (real)0.39988757716604847002;
        r = r * z + (real)0.66666685095429068746;
    }
    const V n = __builtin_convertvector(e, V);
    return n * (real)0.693147180369123816490 + (s * 2 + (s * (z * r) + (n * (real)1.90821492927058770002e-10 + correction)));
}
INLINE V vlog(V x) {
    const real tiny = std::numeric_limits<real>::min(), lift = DOUBLE ? 18014398509481984.0 : 33554432.0f;  // 2^54, 2^25
    const M low = x < tiny;
    V y = log_of_normal(pick(low, x * lift, x), V{});
    y = pick(low, y - (real)(DOUBLE ? 37.429947750237047899 : 17.328679513998632735), y);
    y = pick(x == 0, splat(-INF), y);
    y = pick((x < 0) | (x != x), splat(std::numeric_limits<real>::quiet_NaN()), y);
    return pick(x == INF, x, y);
}
INLINE V vlog1p(V x) {
    const V u = 1 + x;
    const V y = log_of_normal(pick((u > 0) & (u < INF), u, splat(1)), pick((u > 0) & (u < INF), (x - (u - 1)) / u, V{}));
    return pick((u > 0) & (u < INF), y, vlog(u));
}

template <int... I> struct Sequence {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> { typedef Sequence<I...> type; };
