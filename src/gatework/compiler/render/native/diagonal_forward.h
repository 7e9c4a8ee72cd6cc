// Diagonal cells forward: input products in chunks of time that stay in cache, for the gates of a few units at a time, then
// these units through the chunk with their states in registers.
#pragma once
#include "diagonal.h"

struct Forward : Diagonal {
    real *W, *bias, *buffers, *states[Cell::STATES];
    const real** pointers;
    long chunk, tokens;  // steps between two input products, and the most rows of a worker in them

    static constexpr int GATES = Cell::GATES ? Cell::GATES : 1, WIDE = UNITS * GATES * L;
    static constexpr int TOGETHER = 4;  // rows whose steps alternate, so that the latency of one hides behind the others

    explicit Forward(const Call& call) : Diagonal(call) {}

    void reserve(Arena& arena) {
        Diagonal::reserve(arena);
        const long most = a.B ? (a.B + division.bands - 1) / division.bands : 1;
        const long cached = (256 << 10) / (long)sizeof(real) / (a.I + 1), wanted = cached < 64 ? 64 : cached > 192 ? 192 : cached;
        chunk = wanted < most ? 1 : wanted / most < a.T ? wanted / most : a.T;
        tokens = chunk * most;
        W = arena.take<real>(Cell::GATES * HP * a.I);
        bias = arena.take<real>(Cell::GATES * HP);
        buffers = arena.take<real>(team * tokens * WIDE);
        pointers = arena.take<const real*>(team * 2 * tokens);
        for (int s = 0; s < Cell::STATES; s++) states[s] = arena.take<real>(a.B * HP);
    }

    void run(int rank, int size) {  // where fewer threads came than were asked for, one does the work of several
        if (!rank) large_pages(a.y, (a.packed ? a.N : a.full_T * a.B) * a.H * sizeof(real));
        if (!rank && a.train) {
            large_pages(a.saved, a.N * Cell::SAVED * HP * sizeof(real));
            for (int s = 1; s < Cell::STATES; s++) large_pages(a.sequence[s], a.N * HP * sizeof(real));
        }
        for (int worker = rank; worker < team; worker += size) pack(worker);
        for (int n = rank; n < Cell::VECTORS; n += size) pad(vectors + n * HP, (real*)a.vectors[n]);
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = rank; b < a.B; b += size) pad(states[s] + b * HP, (real*)a.first[s] + steps.place(b) * a.H);
        clear(y, a.H, rank, size);
        barrier->wait(size);
        if (division.spans > 1 && size == team) scan(rank);
        else
            for (int worker = rank; worker < team; worker += size)
                if (!division.span(worker)) stream(worker);
        barrier->wait(size);
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = rank; b < a.B; b += size) memcpy((real*)a.last[s] + steps.place(b) * a.H, states[s] + b * HP, a.H * sizeof(real));
    }

    void pack(int worker) {  // by the thread that will read it
        if (division.span(worker)) return;
        const int part = division.part(worker);
        for (int panel = division.first_panel(part); panel < division.first_panel(part + 1); panel++) {
            if (panel % division.bands != division.band(worker)) continue;
            const long start = panels.first(panel) * (long)Cell::GATES * L;
            for (int tile = 0; tile < panels.tiles(panel); tile++) {
                const int low = panels.edge(panel, tile), high = panels.edge(panel, tile + 1);
                for (int k = low; k < high; k++) {
                    const long unit = (panels.first(panel) + k / GATES) * (long)L, row = k % GATES * a.H + unit;
                    pack_transposed(W + (start + low * L) * a.I + (k - low) * L, (high - low) * L, (real*)a.w_ih + row * a.I, a.I, a.H - unit, a.I);
                    for (int i = 0; i < L; i++) bias[start + k * L + i] = a.b_ih && unit + i < a.H ? ((real*)a.b_ih)[row + i] : 0;
                }
            }
        }
    }
    real* buffer(int worker) const { return buffers + worker * tokens * WIDE; }
    // The input products of a panel for the steps k..stop of a worker's rows, in order of computation.
    void point(int worker, const Share& share, long k, long stop, long& m) {
        const real** in = pointers + worker * 2 * tokens;
        real** out = (real**)(in + tokens);
        for (m = 0; k < stop; k++)
            for (long t = steps.time(k), n = share.count(steps.active(t)), i = 0; i < n; i++, m++)
                in[m] = steps.at(x, t, share.row(i)), out[m] = buffer(worker) + m * WIDE;
    }
    void inputs(int worker, int panel, long m) {
        const real** in = pointers + worker * 2 * tokens;
        const long start = panels.first(panel) * (long)Cell::GATES * L;
        for (int tile = 0; tile < panels.tiles(panel); tile++) {
            const int low = panels.edge(panel, tile), high = panels.edge(panel, tile + 1);
            product(in, 0, W + (start + low * L) * a.I, high - low, a.I, bias + start + low * L, (real**)(in + tokens), low * L, m);
        }
    }

    void stream(int worker) {
        const Share share = rows(worker);
        const int first = division.first_panel(division.part(worker)), last = division.first_panel(division.part(worker) + 1);
        for (long k = 0, m; k < a.T; k += chunk) {
            const long stop = k + chunk < a.T ? k + chunk : a.T;
            point(worker, share, k, stop, m);
            for (int panel = first; panel < last; panel++) {
                inputs(worker, panel, m);
                for (int u = 0; u < panels.units(panel); u++) unit(share, panels.first(panel) + u, buffer(worker) + u * GATES * L, k, stop);
            }
        }
    }
    // One vector of units over the steps k..stop.
    void unit(const Share& share, int v, const real* gates, long k, long stop) {
        long i = 0;
        for (; i + TOGETHER <= share.rows; i += TOGETHER) {
            const Range common(steps, share.row(i + TOGETHER - 1), k, stop);  // of the shortest row
            for (int j = 0; j < TOGETHER; j++) alone(share, v, gates, k, i + j, k, common.empty() ? stop : common.begin);
            if (common.empty()) continue;
            follow<TOGETHER>(share, v, gates + place(share, k, common.begin), i, common);
            for (int j = 0; j < TOGETHER; j++) alone(share, v, gates, k, i + j, common.end, stop);
        }
        for (; i < share.rows; i++) alone(share, v, gates, k, i, k, stop);
    }
    void alone(const Share& share, int v, const real* gates, long k, long i, long low, long high) {
        const Range range(steps, share.row(i), low, high);
        if (!range.empty()) follow<1>(share, v, gates + place(share, k, range.begin), i, range);
    }
    long place(const Share& share, long k, long step) const {  // of a step's gates in a chunk that begins with step k
        if (!a.batch_sizes) return (step - k) * share.rows * WIDE;
        long m = 0;
        for (; k < step; k++) m += share.count(steps.active(steps.time(k)));
        return m * WIDE;
    }
    // J rows from the i-th on over a range of steps, from and to the states in memory.
    template <int J> void follow(const Share& share, int v, const real* gates, long i, const Range& range) {
        V old[J][Cell::STATES];
        UNROLL for (int j = 0; j < J; j++)
            UNROLL for (int s = 0; s < Cell::STATES; s++) old[j][s] = load(states[s] + share.row(i + j) * HP + v * (long)L);
        sweep<J>(share, v, gates, i, range, old);
        UNROLL for (int j = 0; j < J; j++)
            UNROLL for (int s = 0; s < Cell::STATES; s++) store(states[s] + share.row(i + j) * HP + v * (long)L, old[j][s]);
    }
    template <int J> INLINE_MEMBER void sweep(const Share& share, int v, const real* gates, long i, const Range& range, V (*old)[Cell::STATES]) {
        const long at = v * (long)L;
        const int lanes = valid(v);
        V vector[Cell::VECTORS + 1];
        load_vectors(v, vector);
        for (long k = range.begin; k < range.end; k++) {
            const long t = steps.time(k);
            UNROLL for (int j = 0; j < J; j++) {
                const long b = share.row(i + j);
                V gate[Cell::GATES + 1], extra[Cell::MORE + 1], fresh[Cell::STATES], save[Cell::SAVED + 1];
                given(gates + (i + j) * WIDE, t, b, at, lanes, gate, extra);
                Cell::forward(gate, nullptr, old[j], vector, extra, fresh, save);
                UNROLL for (int s = 0; s < Cell::STATES; s++) old[j][s] = fresh[s];
                real* out = steps.at(y, t, b) + at;
                if (lanes == L) store(out, fresh[0]);
                else store_part(out, fresh[0], lanes);
                if (!a.train) continue;
                const long token = v * a.N + steps.token(t, b);
                UNROLL for (int n = 0; n < Cell::SAVED; n++) store((real*)a.saved + (token * Cell::SAVED + n) * L, save[n]);
                UNROLL for (int s = 1; s < Cell::STATES; s++)
                    if (Cell::needs_old(s) || Cell::needs_new(s)) store((real*)a.sequence[s] + token * L, fresh[s]);
            }
            gates += share.count(steps.active(t)) * WIDE;
        }
    }
    INLINE_MEMBER void given(const real* gates, long t, long b, long at, int lanes, V* gate, V* extra) {
        UNROLL for (int g = 0; g < Cell::GATES; g++) gate[g] = load(gates + g * L);
        if (Cell::RAW) gate[Cell::GATES] = part(steps.at(x, t, b) + at, lanes);
        more.values(t, b, at, lanes, extra);
    }

    // One panel of one row, which the threads of all spans work on: each sums up what its steps of a chunk do to the state,
    // then all know where they start.
    void scan(int worker) {
        const Share share = rows(worker);
        const int panel = division.part(worker), span = division.span(worker);
        const long b = share.row(0), wide = division.longest(chunk);
        V start[UNITS];
        for (int u = 0; u < panels.units(panel); u++) start[u] = load(states[SCAN] + b * HP + (panels.first(panel) + u) * (long)L);
        for (long k = 0, m, turn = 0; k < a.T; k += wide, turn ^= 1) {
            const long n = k + wide < a.T ? wide : a.T - k;
            const Range mine(steps, b, k + division.edge(span, n), k + division.edge(span + 1, n));
            point(worker, share, mine.begin, mine.end, m);
            inputs(worker, panel, m);
            for (int u = 0; u < panels.units(panel); u++) {
                if (span) sum(turn, worker, span)[u] = summary(worker, panel, u, mine);
                else sum(turn, worker, 0)[u] = {V{}, from(worker, panel, u, mine, start[u])};
            }
            barrier->wait(team);
            for (int u = 0; u < panels.units(panel); u++)
                for (int s = 0; s < division.spans; s++) {
                    if (s && s == span) from(worker, panel, u, mine, start[u]);
                    start[u] = s ? sum(turn, worker, s)[u].of(start[u]) : sum(turn, worker, s)[u].offset;
                }
        }
    }
    V from(int worker, int panel, int u, const Range& range, V start) {
        const Share share = rows(worker);
        V old[1][Cell::STATES] = {};
        old[0][SCAN] = start;
        if (range.empty()) return start;
        sweep<1>(share, panels.first(panel) + u, buffer(worker) + u * GATES * L, 0, range, old);
        if (range.end == Range(steps, share.row(0), 0, a.T).end)
            for (int s = 0; s < Cell::STATES; s++) store(states[s] + share.row(0) * HP + (panels.first(panel) + u) * (long)L, old[0][s]);
        return old[0][SCAN];
    }
    Affine summary(int worker, int panel, int u, const Range& range) {
        const int v = panels.first(panel) + u;
        const real* gates = buffer(worker) + u * GATES * L;
        V vector[Cell::VECTORS + 1], gate[Cell::GATES + 1], extra[Cell::MORE + 1];
        load_vectors(v, vector);
        Affine found{splat(1), V{}};
        for (long k = range.begin; k < range.end; k++, gates += WIDE) {
            V factor, offset;
            given(gates, steps.time(k), rows(worker).row(0), v * (long)L, valid(v), gate, extra);
            Cell::linear(gate, vector, extra, factor, offset);
            found.then(factor, offset);
        }
        return found;
    }
};

// A step of one or two rows without gradients: dot products on the weights as they lie, nothing packed.
static void forward_one(const Call& a) {
    const Diagonal d(a);
    V gate[Cell::GATES + 1], extra[Cell::MORE + 1], old[Cell::STATES], fresh[Cell::STATES], vector[Cell::VECTORS + 1], save[Cell::SAVED + 1];
    for (long b = 0; b < a.B; b++)
        for (int v = 0; v < d.panels.HV; v++) {
            const int n = d.valid(v);
            const long at = v * (long)L;
            const real* xt = d.steps.at(d.x, 0, b);
            for (int g = 0; g < Cell::GATES; g++) {
                gate[g] = dots((real*)a.w_ih + (g * a.H + at) * a.I, a.I, n, xt, a.I);
                if (a.b_ih) gate[g] += d.part((real*)a.b_ih + g * a.H + at, n);
            }
            if (Cell::RAW) gate[Cell::GATES] = d.part(xt + at, n);
            for (int s = 0; s < Cell::STATES; s++) old[s] = d.part((real*)a.first[s] + b * a.H + at, n);
            for (int i = 0; i < Cell::VECTORS; i++) vector[i] = d.part((real*)a.vectors[i] + at, n);
            d.more.values(0, b, at, n, extra);
            Cell::forward(gate, nullptr, old, vector, extra, fresh, save);
            for (int s = 0; s < Cell::STATES; s++) store_part((real*)a.last[s] + b * a.H + at, fresh[s], n);
            store_part(d.steps.at(d.y, 0, b) + at, fresh[0], n);
        }
}

extern "C" int gatework_forward(const Call* call) {
    if (call->T == 1 && call->B <= 2 && !call->train && !call->batch_sizes) {
        forward_one(*call);
        return 0;
    }
    return perform<Forward>(*call);
}
