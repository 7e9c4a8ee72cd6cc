// Linear chains: sums and maxima over all paths of K tags through T steps. A path scores first[y_0], scores[t][y_t],
// moves[y_t-1][y_t] and last[y_T-1] together; what is forbidden scores -inf. Sums are kept as logarithms, each step's
// relative to an offset in double precision; a step multiplies exp(what is there - its largest) by exp(moves), so that it
// costs K * K multiply-adds and 2 K elementary functions. Rabiner, Proc. IEEE 77 (1989), section III.
#pragma once
#include <algorithm>
#include "threads.h"
#include "tile.h"

// Filled by compiler/chain.py. Each field takes 8 bytes; what a function does not use may be null.
struct ChainCall {
    int64_t B, T, K, threads, paths;
    const real *scores, *transitions, *first, *last;  // [B][T][K], [K][K], [K], [K]
    const uint8_t *legal, *starts, *ends;             // [K][K], [K], [K]
    const int64_t *lengths, *tags;                    // [B], [B][T]
    real* inner;                                      // [B][T][W], sums over the beginnings of paths, relative to
    double* offsets;                                  // [B][T]
    double *totals, *golds;                           // [B], log of the sum over all paths; score of `tags`
    const real* weights;                              // [B], of the rows' gradients; null: all 1
    real *d_scores, *d_transitions, *d_first, *d_last;
    int64_t* best;        // [B][paths][T]
    double* best_scores;  // [B][paths]
};

// A sum of exponentials below this may have lost more than a rounding error to underflow: logarithms are added up instead.
constexpr real LEAST_SUM = DOUBLE ? 1e-217 : 1e-26f;

INLINE bool any(M m) {
    uint64_t words[VECTOR_BYTES / 8], all = 0;
    memcpy(words, &m, sizeof(m));
    for (uint64_t word : words) all |= word;
    return all;
}
template <int S, int... I> INLINE V turned_by(V v, Sequence<I...>) { return __builtin_shufflevector(v, v, ((I + S) % L)...); }
template <int S = L / 2> INLINE real largest(V v) {
    v = vmax(v, turned_by<S>(v, typename Count<L>::type{}));
    if constexpr (S > 1) return largest<S / 2>(v);
    else return v[0];
}

class Chains {
  public:
    static constexpr int ROWS = 8;  // of a batch, advanced together
    static constexpr int WIDE = 3;  // vectors of columns in a panel, at most

    explicit Chains(const ChainCall& call)
        : c(call), B(call.B), T(call.T), K(call.K), n((K + L - 1) / L), W(n * L), end(c.scores + B * T * K) {}

    // Whether lengths are in 0..T and tags in 0..K-1 on a legal path.
    bool fits() const {
        for (long b = 0; b < B; b++) {
            const long length = c.lengths[b];
            if (length < 0 || length > T) return false;
            const int64_t* y = c.tags ? c.tags + b * T : nullptr;
            for (long t = 0; y && t < length; t++) {
                if (y[t] < 0 || y[t] >= K) return false;
                if (t ? !c.legal[y[t - 1] * K + y[t]] : !c.starts[y[0]]) return false;
            }
            if (y && length && !c.ends[y[length - 1]]) return false;
        }
        return true;
    }

    size_t shared_bytes() const { return (3 * K * W + 4 * W) * sizeof(real) + B * sizeof(int64_t) + 2048; }
    void prepare(Arena& memory) {
        moves = memory.take<real>(K * W), turned = memory.take<real>(K * W);
        first = memory.take<real>(W), last = memory.take<real>(W);
        for (real* table : {moves, turned}) std::fill(table, table + K * W, -INF);
        for (real* table : {first, last}) std::fill(table, table + W, -INF);
        for (long i = 0; i < K; i++) {
            if (c.starts[i]) first[i] = c.first[i];
            if (c.ends[i]) last[i] = c.last[i];
            for (long j = 0; j < K; j++)
                if (c.legal[i * K + j]) moves[i * W + j] = turned[j * W + i] = c.transitions[i * K + j];
        }
        order = memory.take<int64_t>(B);
        for (long b = 0; b < B; b++) order[b] = b;
        std::stable_sort(order, order + B, [this](long a, long b) { return c.lengths[a] > c.lengths[b]; });
    }

    int team() const {
        const long work = B * T * K * (K + 64) / 100000, blocks = (B + height() - 1) / height();
        return (int)std::max<long>(1, std::min<long>({blocks, (long)c.threads, work}));
    }
    // f(first row, rows) for this thread's blocks of `order`.
    template <class F> void deal(int rank, int size, F f) const {
        for (long r0 = rank * height(); r0 < B; r0 += size * height()) f(r0, std::min(height(), B - r0));
    }

  protected:
    const ChainCall c;
    const long B, T, K, n, W;  // W: a row of K tags in whole vectors
    const real* end;
    real *moves = nullptr, *turned = nullptr, *first = nullptr, *last = nullptr;  // [K][W], transposed, [W], [W]
    int64_t* order = nullptr;                                                    // rows by falling length

    // exp(m[i][j] - peak[j]), packed in panels for products over i.
    struct Table {
        const real* m;
        real *packed, *peak, *least;  // least: sums below it are added up as logarithms; -1 where there is nothing to add
    };
    Table table(const real* m, Arena& memory) const {
        Table e{m, memory.take<real>(K * W), memory.take<real>(W), memory.take<real>(W)};
        for (int q = 0; q < panels(); q++)
            for (long v = panel(q); v < panel(q + 1); v++) {
                V peak = splat(-INF);
                for (long i = 0; i < K; i++) peak = vmax(load(m + i * W + v * L), peak);
                store(e.least + v * L, pick(peak > -INF, splat(LEAST_SUM), splat(-1)));
                peak = pick(peak == -INF, V{}, peak);
                store(e.peak + v * L, peak);
                real* to = e.packed + panel(q) * L * K + (v - panel(q)) * L;
                for (long i = 0; i < K; i++) store(to + i * wide(q) * L, vexp(load(m + i * W + v * L) - peak));
            }
        return e;
    }

    // Columns in panels of nearly equal width.
    int panels() const { return (int)((n + WIDE - 1) / WIDE); }
    long panel(int q) const { return n * q / panels(); }
    int wide(int q) const { return (int)(panel(q + 1) - panel(q)); }
    long height() const { return std::max<long>(1, std::min<long>(ROWS, (B + c.threads - 1) / c.threads)); }
    long length(long r) const { return c.lengths[order[r]]; }
    long running(long r0, long rows, long t) const {  // those longer than t, which stand first
        while (rows && length(r0 + rows - 1) <= t) rows--;
        return rows;
    }
    V score(long b, long t, long v) const {  // zero past tag K
        const real* p = c.scores + (b * T + t) * K + v * L;
        const long left = K - v * L;
        return left >= L ? load(p) : p + L <= end ? keep(load(p), left) : load_part(p, left);
    }
    void add_scores(real* x, long b, long t) const {
        for (long v = 0; v < n; v++) store(x + v * L, load(x + v * L) + score(b, t, v));
    }
    real peak_of(const real* x) const {
        V most = splat(-INF);
        for (long v = 0; v < n; v++) most = vmax(load(x + v * L), most);
        return largest(most);
    }

    // to[r][j] = log(sum_i exp(from[r][i] - peak[r] + m[i][j])) with peak[r] the largest of from[r]; p: exp(from - peak).
    void advance(const Table& e, real* const* from, real* const* p, real* const* to, real* peak, long rows) const {
        for (long r = 0; r < rows; r++) {
            const real most = peak_of(from[r]);
            peak[r] = most == -INF ? 0 : most;
            for (long v = 0; v < n; v++) store(p[r] + v * L, vexp(load(from[r] + v * L) - peak[r]));
        }
        for (int q = 0; q < panels(); q++) product(p, 0, e.packed + panel(q) * L * K, wide(q), K, ZEROS, to, panel(q) * L, rows);
        for (long r = 0; r < rows; r++) {
            M low{};
            for (long v = 0; v < n; v++) {
                const V u = load(to[r] + v * L);
                low |= u < load(e.least + v * L);
                store(to[r] + v * L, vlog(u) + load(e.peak + v * L));
            }
            if (any(low)) add_up(e, from[r], peak[r], to[r]);
        }
    }
    // Those sums again that may have suffered from underflow.
    void add_up(const Table& e, const real* from, real peak, real* to) const {
        const real least = std::log(LEAST_SUM);
        for (long j = 0; j < K; j++) {
            if (e.least[j] < 0 || !(to[j] - e.peak[j] < least)) continue;
            real most = -INF, total = 0;
            for (long i = 0; i < K; i++) most = std::max(most, from[i] - peak + e.m[i * W + j]);
            for (long i = 0; i < K && most > -INF; i++) total += std::exp(from[i] - peak + e.m[i * W + j] - most);
            to[j] = most > -INF ? most + std::log(total) : -INF;
        }
    }
};

static thread_local Arena chain_memory;
constexpr int CHAIN_UNFIT = 2;

// A row of K tags in whole vectors.
extern "C" int64_t gatework_chain_width(int64_t K) { return (K + L - 1) / L * L; }

// The other functions return 0, 1 without memory, CHAIN_UNFIT where lengths or tags do not fit.
