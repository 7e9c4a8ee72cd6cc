// Linear chains: the sum over all paths.
#pragma once
#include "chain.h"

class ChainTotals : public Chains {
  public:
    explicit ChainTotals(const ChainCall& call) : Chains(call), room(ROWS * W * (c.inner ? 1 : 3)) {}

    void run(Arena& memory) {
        const int most = team();
        memory.begin(shared_bytes() + most * room * sizeof(real));
        prepare(memory);
        const Table ahead = table(moves, memory);
        real* rooms = memory.take<real>(most * room);
        on_team(most, [&](int rank, int size) {
            deal(rank, size, [&](long r0, long rows) { block(ahead, r0, rows, rooms + rank * room); });
        });
        memory.end();
    }

  private:
    const long room;

    void block(const Table& e, long r0, long rows, real* mine) const {
        real *p[ROWS], *now[ROWS], *next[ROWS], peak[ROWS];
        double offset[ROWS] = {};
        for (long r = 0; r < rows; r++) {
            const long b = order[r0 + r];
            p[r] = mine + r * W;
            now[r] = c.inner ? c.inner + b * T * W : mine + (ROWS + r) * W;
            next[r] = c.inner ? now[r] + W : mine + (2 * ROWS + r) * W;
            if (!c.lengths[b]) continue;
            memcpy(now[r], first, W * sizeof(real));
            add_scores(now[r], b, 0);
            if (c.inner) c.offsets[b * T] = 0;
        }
        for (long t = 1, active; active = running(r0, rows, t), active; t++) {
            advance(e, now, p, next, peak, active);
            for (long r = 0; r < active; r++) {
                const long b = order[r0 + r];
                add_scores(next[r], b, t);
                offset[r] += peak[r];
                if (c.inner) c.offsets[b * T + t] = offset[r];
                real* before = now[r];
                now[r] = next[r], next[r] = c.inner ? next[r] + W : before;
            }
        }
        for (long r = 0; r < rows; r++) {
            const long b = order[r0 + r];
            c.totals[b] = c.lengths[b] ? offset[r] + end_sum(now[r]) : 0;
            if (c.golds) c.golds[b] = c.lengths[b] ? gold(b) : 0;
        }
    }
    double end_sum(const real* now) const {
        V most = splat(-INF), total{};
        for (long v = 0; v < n; v++) most = vmax(load(now + v * L) + load(last + v * L), most);
        const real peak = largest(most);
        if (peak == -INF) return -INFINITY;
        for (long v = 0; v < n; v++) total += vexp(load(now + v * L) + load(last + v * L) - peak);
        double all = 0;
        for (int i = 0; i < L; i++) all += total[i];
        return peak + std::log(all);
    }
    double gold(long b) const {
        const int64_t* y = c.tags + b * T;
        double all = (double)first[y[0]] + last[y[c.lengths[b] - 1]];
        for (long t = 0; t < c.lengths[b]; t++) all += (double)c.scores[(b * T + t) * K + y[t]] + (t ? moves[y[t - 1] * W + y[t]] : 0);
        return all;
    }
};

// totals; golds unless null; inner and offsets, for the gradients, unless null.
extern "C" int gatework_chain_totals(const ChainCall* call) try {
    ChainTotals chains(*call);
    if (!chains.fits()) return CHAIN_UNFIT;
    chains.run(chain_memory);
    return 0;
} catch (const std::bad_alloc&) { return 1; }
