// Work across the units of one row: sums, running sums, parts repeated or added up.  `n` numbers in equal parts of `inner`.
#pragma once
#include "more.h"

INLINE V load_upto(const real* p, long left) { return left >= L ? load(p) : load_part(p, (int)left); }
INLINE void store_upto(real* p, V v, long left) {
    if (left >= L) store(p, v);
    else store_part(p, v, (int)left);
}
INLINE V keep_or(V v, long left, V other) {  // lanes beyond the row count as `other`
    if (left >= L) return v;
    M lane;
    for (int i = 0; i < L; i++) lane[i] = i;
    return pick(lane < (whole)left, v, other);
}
// All lanes folded into one number, in halves.
template <int S, int... I> INLINE V swapped(V v, Sequence<I...>) { return __builtin_shufflevector(v, v, (I ^ S)...); }
template <int S = L / 2, class Fold> INLINE real fold_lanes(V v, Fold fold) {
    if constexpr (S == 0) return v[0];
    else return fold_lanes<S / 2>(fold(v, swapped<S>(v, typename Count<L>::type{})), fold);
}
INLINE real sum_lanes(V v) {
    return fold_lanes(v, [](V a, V b) __attribute__((always_inline)) { return a + b; });
}
INLINE real max_lanes(V v) {
    return fold_lanes(v, [](V a, V b) __attribute__((always_inline)) { return vmax(a, b); });
}
INLINE real min_lanes(V v) {
    return fold_lanes(v, [](V a, V b) __attribute__((always_inline)) { return vmin(a, b); });
}
template <class Fold, class Lanes> static inline void fold_parts(real* to, const real* from, long n, long inner, V start, Fold fold, Lanes lanes) {
    for (long part = 0; part * inner < n; part++) {
        V acc = start;
        for (long at = 0; at < inner; at += L) acc = fold(acc, keep_or(load_upto(from + part * inner + at, inner - at), inner - at, start));
        to[part] = lanes(acc);
    }
}
static inline void row_sum(real* to, const real* from, long n, long inner) {
    fold_parts(to, from, n, inner, V{}, [](V a, V b) { return a + b; }, [](V v) { return sum_lanes(v); });
}
static inline void row_max(real* to, const real* from, long n, long inner) {
    fold_parts(to, from, n, inner, splat(-INF), [](V a, V b) { return vmax(a, b); }, [](V v) { return max_lanes(v); });
}
static inline void row_min(real* to, const real* from, long n, long inner) {
    fold_parts(to, from, n, inner, splat(INF), [](V a, V b) { return vmin(a, b); }, [](V v) { return min_lanes(v); });
}
static inline void fold(real* to, const real* from, long n, long inner) {
    for (long i = 0; i < inner; i++) to[i] = from[i];
    for (long part = inner; part < n; part += inner)
        for (long i = 0; i < inner; i++) to[i] += from[part + i];
}
static inline void spread(real* to, const real* from, long n, long inner) {
    for (long part = 0; part * inner < n; part++)
        for (long i = 0; i < inner; i++) to[part * inner + i] = from[part];
}
static inline void repeat_row(real* to, const real* from, long n, long inner) {
    for (long part = 0; part < n; part += inner) memcpy(to + part, from, inner * sizeof(real));
}
static inline void scan(real* to, const real* from, long n, long inner) {
    for (long part = 0; part < n; part += inner) {
        real sum = 0;
        for (long i = 0; i < inner; i++) to[part + i] = sum += from[part + i];
    }
}
static inline void scan_back(real* to, const real* from, long n, long inner) {
    for (long part = 0; part < n; part += inner) {
        real sum = 0;
        for (long i = inner; i-- > 0;) to[part + i] = sum += from[part + i];
    }
}
static inline void turn_round(real* to, const real* from, long n, long inner) {
    for (long part = 0; part < n; part += inner)
        for (long i = 0; i < inner; i++) to[part + i] = from[part + inner - 1 - i];
}
static inline void copy_row(real* to, const real* from, long n, bool add) {
    for (long i = 0; i < n; i++) to[i] = add ? to[i] + from[i] : from[i];
}
