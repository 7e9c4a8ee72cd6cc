// Linear chains: the best paths.
#pragma once
#include "chain.h"

class ChainPaths : public Chains {
  public:
    explicit ChainPaths(const ChainCall& call) : Chains(call), N(call.paths) {}

    void run(Arena& memory) {
        const int most = team();
        const size_t ends = N * (2 * sizeof(Ending) + T * sizeof(Step)) + 512;
        memory.begin(shared_bytes() + most * (T * W * sizeof(real) + T * sizeof(double) + ends + 512));
        prepare(memory);
        std::vector<Mine> mine(most);
        for (Mine& own : mine) {
            own.reached = memory.take<real>(T * W), own.offset = memory.take<double>(T);
            own.now = memory.take<Ending>(N), own.next = memory.take<Ending>(N), own.steps = memory.take<Step>(T * N);
        }
        on_team(most, [&](int rank, int size) {
            for (long r = rank; r < B; r += size) row(order[r], mine[rank]);
        });
        memory.end();
    }

  private:
    struct Ending {  // of a path from step t on
        double whole, score;  // with the best way to it; without
        int32_t tag, before;  // at t; the ending's number at t + 1
    };
    struct Step { int32_t tag, before; };
    struct Mine {  // of one thread
        real* reached;   // [T][W], the best way to each tag, relative to
        double* offset;  // [T]
        Ending *now, *next;
        Step* steps;  // [T][N]
    };
    const long N;

    void row(long b, const Mine& mine) const {
        const long length = c.lengths[b];
        int64_t* y = c.best + b * N * T;
        double* scores = c.best_scores + b * N;
        std::fill(y, y + N * T, 0), std::fill(scores, scores + N, -INFINITY);
        if (!length) scores[0] = 0;
        if (!length) return;
        reach(b, length, mine);
        Ending *now = mine.now, *next = mine.next;
        long count = 0;
        extend(now, count, mine, length - 1, last, 0, -1);
        // Of all endings the N whose best completions are best: the N best paths end in these, as each stands for one.
        for (long t = length - 1;; t--) {
            for (long k = 0; k < count; k++) now[k].score += c.scores[(b * T + t) * K + now[k].tag], mine.steps[t * N + k] = {now[k].tag, now[k].before};
            if (!t) break;
            long more = 0;
            for (long k = 0; k < count; k++) extend(next, more, mine, t - 1, turned + now[k].tag * W, now[k].score, k);
            std::swap(now, next), count = more;
        }
        for (long k = 0; k < count; k++) {
            scores[k] = now[k].score + first[now[k].tag];
            for (long t = 0, at = k; t < length; t++) y[k * T + t] = mine.steps[t * N + at].tag, at = mine.steps[t * N + at].before;
        }
        order_by_score(y, scores, count);
    }
    // reached[t][j] = scores[t][j] + max_i reached[t-1][i] + moves[i][j]
    void reach(long b, long length, const Mine& mine) const {
        memcpy(mine.reached, first, W * sizeof(real));
        add_scores(mine.reached, b, 0);
        mine.offset[0] = 0;
        for (long t = 1; t < length; t++) {
            real *now = mine.reached + (t - 1) * W, *next = now + W;
            mine.offset[t - 1] += lower(now), mine.offset[t] = mine.offset[t - 1];
            for (int q = 0; q < panels(); q++) switch (wide(q)) {
                case 1: best_way<1>(now, panel(q) * L, next); break;
                case 2: best_way<2>(now, panel(q) * L, next); break;
                default: best_way<3>(now, panel(q) * L, next);
            }
            add_scores(next, b, t);
        }
    }
    double lower(real* x) const {  // by its largest, which is returned
        const real most = peak_of(x);
        if (!(most > -INF && most < INF)) return 0;
        for (long v = 0; v < n; v++) store(x + v * L, load(x + v * L) - most);
        return most;
    }
    template <int NV> void best_way(const real* from, long column, real* to) const {
        const real* m = moves + column;
        V best[NV];
        UNROLL for (int v = 0; v < NV; v++) best[v] = splat(-INF);
        for (long i = 0; i < K; i++, m += W) {
            const V x = splat(from[i]);
            UNROLL for (int v = 0; v < NV; v++) {
                const V found = x + load(m + v * L);
                best[v] = pick(found > best[v], found, best[v]);
            }
        }
        UNROLL for (int v = 0; v < NV; v++) store(to + column + v * L, best[v]);
    }
    // An ending from t + 1 on with each tag before it, into the list of the N best.
    void extend(Ending* list, long& count, const Mine& mine, long t, const real* from, double score, long before) const {
        const real* reached = mine.reached + t * W;
        const double base = score + mine.offset[t];
        for (long i = 0; i < K; i++) {
            const double whole = base + (reached[i] + from[i]);
            if (!(whole > (count < N ? -INFINITY : list[N - 1].whole))) continue;
            long at = count < N ? count++ : N - 1;
            for (; at && whole > list[at - 1].whole; at--) list[at] = list[at - 1];
            list[at] = {whole, score + from[i], (int32_t)i, (int32_t)before};
        }
    }
    // Scores that were rounded on the way may have changed places with their next.
    void order_by_score(int64_t* y, double* scores, long count) const {
        for (long k = 1; k < count; k++)
            for (long i = k; i && scores[i] > scores[i - 1]; i--) std::swap(scores[i], scores[i - 1]), std::swap_ranges(y + i * T, y + (i + 1) * T, y + (i - 1) * T);
    }
};

// best and best_scores.
extern "C" int gatework_chain_best(const ChainCall* call) try {
    ChainPaths chains(*call);
    if (!chains.fits()) return CHAIN_UNFIT;
    chains.run(chain_memory);
    return 0;
} catch (const std::bad_alloc&) { return 1; }
