// Linear chains: gradients of the sum over all paths, which are the probabilities of tags and of pairs of tags.
#pragma once
#include "chain.h"

class ChainGradients : public Chains {
  public:
    explicit ChainGradients(const ChainCall& call) : Chains(call) {
        for (long b = 0; b < B && c.d_transitions; b++) pairs += std::max<int64_t>(c.lengths[b] - 1, 0);
    }

    void run(Arena& memory) {
        const int most = team();
        const long sums_room = K * W + DEEP * (WIDE * L + TALL);
        memory.begin(shared_bytes() + 4096 + B * sizeof(int64_t) +
                     (2 * pairs * W + most * (4 * ROWS * W + (c.d_transitions ? K * W + sums_room : 0))) * sizeof(real));
        prepare(memory);
        const Table back = table(turned, memory);
        start = memory.take<int64_t>(B);
        for (long b = 0, k = 0; b < B; b++) start[b] = k, k += std::max<int64_t>(c.lengths[b] - 1, 0);
        left = memory.take<real>(pairs * W), right = memory.take<real>(pairs * W);
        peak_move = std::max(*std::max_element(moves, moves + K * W), std::numeric_limits<real>::lowest());
        std::vector<Mine> mine(most);
        for (Mine& own : mine) {
            own.rows = memory.take<real>(4 * ROWS * W);
            if (c.d_transitions) own.direct = memory.take<real>(K * W), own.sums = memory.take<real>(sums_room);
        }
        on_team(most, [&](int rank, int size) {
            deal(rank, size, [&](long r0, long rows) { block(back, r0, rows, mine[rank]); });
        });
        if (c.d_transitions) {
            on_team(most, [&](int rank, int size) { multiply(mine, mine[rank].sums, rank, size); });
            ends();
        }
        memory.end();
    }

  private:
    static constexpr long DEEP = 512;
    static constexpr int TALL = most_rows(WIDE);
    static constexpr double MOST_SCALE = DOUBLE ? 150 : 20;  // a logarithm; numbers lost to underflow times this are nothing
    struct Mine {  // of one thread
        real *rows, *direct = nullptr, *sums = nullptr;
        bool used = false;  // whether there is anything in `direct`
    };
    long pairs = 0;           // of neighbouring steps in all rows
    int64_t* start = nullptr;  // [B], a row's first pair
    real *left = nullptr, *right = nullptr;  // [pairs][W]: left^T right * exp(moves - peak_move) is the gradient
    real peak_move = 0;

    // From the ends of rows to their beginnings; outer: sums over the ends of paths, relative to an offset.
    void block(const Table& back, long r0, long rows, Mine& mine) const {
        real *outer[ROWS], *from[ROWS], *p[ROWS], *to[ROWS], peak[ROWS];
        double offset[ROWS] = {};
        for (long r = 0; r < rows; r++) {
            outer[r] = mine.rows + r * W, from[r] = outer[r] + ROWS * W, p[r] = from[r] + ROWS * W, to[r] = p[r] + ROWS * W;
            const long b = order[r0 + r], length = c.lengths[b];
            std::fill(c.d_scores + (b * T + length) * K, c.d_scores + (b + 1) * T * K, 0);
            memcpy(outer[r], last, W * sizeof(real));
        }
        for (long t = length(r0) - 1; t >= 0; t--) {
            const long active = running(r0, rows, t);
            for (long r = 0; r < active; r++) shares(order[r0 + r], t, outer[r], offset[r], from[r]);
            if (!t) break;
            advance(back, from, p, to, peak, active);
            for (long r = 0; r < active; r++) {
                if (c.d_transitions) pair(order[r0 + r], t, offset[r] + peak[r], from[r], p[r], peak[r], mine);
                offset[r] += peak[r];
                std::swap(outer[r], to[r]);
            }
        }
    }
    real weight(long b) const { return c.weights ? c.weights[b] : 1; }
    // Gradients of one step's scores; from = scores + outer.
    void shares(long b, long t, const real* outer, double offset, real* from) const {
        const real shift = (real)(c.offsets[b * T + t] + offset - c.totals[b]);
        const real* inner = c.inner + (b * T + t) * W;
        real* d = c.d_scores + (b * T + t) * K;
        for (long v = 0; v < n; v++) {
            const V out = load(outer + v * L), share = vexp(load(inner + v * L) + out + shift) * weight(b);
            store(from + v * L, score(b, t, v) + out);
            if (K - v * L >= L) store(d + v * L, share);
            else memcpy(d + v * L, &share, (K - v * L) * sizeof(real));
        }
        if (c.tags) d[c.tags[b * T + t]] -= weight(b);
    }
    // What steps t - 1 and t add to the gradient of the transitions: two factors. Where they may underflow, the whole.
    void pair(long b, long t, double offset, const real* from, const real* p, real peak, Mine& mine) const {
        const real *inner = c.inner + (b * T + t - 1) * W, high = peak_of(inner);
        const double scale = c.offsets[b * T + t] + offset - c.totals[b] + peak_move;
        const bool plain = scale <= MOST_SCALE;
        const real times = plain ? (real)(weight(b) * std::exp(scale)) : 0;
        real *a = left + (start[b] + t - 1) * W, *z = right + (start[b] + t - 1) * W;
        for (long v = 0; v < n; v++) {
            store(a + v * L, plain ? vexp(load(inner + v * L) - high) * times : V{});
            store(z + v * L, plain ? load(p + v * L) : V{});
        }
        if (plain) return;
        if (!mine.used) std::fill(mine.direct, mine.direct + K * W, 0);
        mine.used = true;
        for (long i = 0; i < K; i++) {
            const real beginning = (real)(inner[i] - high + scale - peak_move);
            for (long j = 0; j < K; j++) mine.direct[i * W + j] += weight(b) * std::exp(beginning + moves[i * W + j] + (from[j] - peak));
        }
    }
    // This thread's rows of the gradient of the transitions.
    void multiply(const std::vector<Mine>& all, real* sums, int rank, int size) const {
        real *packed = sums + K * W, *column = packed + DEEP * WIDE * L, *row[TALL];
        const long blocks = (K + TALL - 1) / TALL, i0 = blocks * rank / size * TALL, i1 = std::min(K, blocks * (rank + 1) / size * TALL);
        std::fill(sums, sums + K * W, 0);
        for (long k0 = 0; k0 < pairs; k0 += DEEP) {
            const long deep = std::min(DEEP, pairs - k0);
            for (int q = 0; q < panels(); q++) {
                const long bytes = wide(q) * L * sizeof(real);
                for (long k = 0; k < deep; k++) memcpy(packed + k * wide(q) * L, right + (k0 + k) * W + panel(q) * L, bytes);
                for (long i = i0; i < i1; i += TALL) {
                    const long tall = std::min<long>(TALL, i1 - i);
                    for (long k = 0; k < deep; k++) memcpy(column + k * tall, left + (k0 + k) * W + i, tall * sizeof(real));
                    for (long r = 0; r < tall; r++) row[r] = sums + (i + r) * W;
                    gatework_tile(true, (int)tall, wide(q))(&column, 0, packed, deep, nullptr, row, panel(q) * L);
                }
            }
        }
        for (long i = i0; i < i1; i++) {
            for (long v = 0; v < n; v++) store(sums + i * W + v * L, load(sums + i * W + v * L) * vexp(load(moves + i * W + v * L) - peak_move));
            for (long j = 0; j < K; j++) {
                real d = sums[i * W + j];
                for (const Mine& one : all)
                    if (one.used) d += one.direct[i * W + j];
                c.d_transitions[i * K + j] = d;
            }
        }
    }
    // The pairs of `tags`, and the gradients of beginning and ending with a tag.
    void ends() const {
        for (long b = 0; b < B; b++) {
            const long length = c.lengths[b];
            const real* d = c.d_scores + b * T * K;
            for (long t = 1; c.tags && t < length; t++) c.d_transitions[c.tags[b * T + t - 1] * K + c.tags[b * T + t]] -= weight(b);
            for (long j = 0; length && j < K; j++) c.d_first[j] += d[j], c.d_last[j] += d[(length - 1) * K + j];
        }
    }
};

// d_scores, and unless null d_transitions, d_first, d_last, from inner, offsets and totals.
extern "C" int gatework_chain_gradients(const ChainCall* call) try {
    if (call->B) ChainGradients(*call).run(chain_memory);
    return 0;
} catch (const std::bad_alloc&) { return 1; }
