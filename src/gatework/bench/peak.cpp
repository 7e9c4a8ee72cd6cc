// As many fused multiply-adds a second as one thread can do: independent chains, nothing but registers.
#include <chrono>

typedef float V __attribute__((vector_size(VECTOR_BYTES)));
constexpr int LANES = VECTOR_BYTES / sizeof(float);
constexpr int CHAINS = VECTOR_REGISTERS * 3 / 4;  // hides the latency of an FMA and leaves room for both operands

// Rounding keeps the compiler from merging rounds; the sum keeps it from leaving chains out.
extern "C" double gatework_peak(long rounds) {
    const V factor = V{} + 0.9999f, term = V{} + 1e-4f;
    V chain[CHAINS], sum{};
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++) chain[i] = factor * (float)i;
    const auto start = std::chrono::steady_clock::now();
    for (long k = 0; k < rounds; k++) {
#pragma GCC unroll 32
        for (int i = 0; i < CHAINS; i++) chain[i] = chain[i] * factor + term;
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++) sum += chain[i];
    volatile float sink = sum[0];
    (void)sink;
    return rounds * 2.0 * CHAINS * LANES / seconds.count();
}
