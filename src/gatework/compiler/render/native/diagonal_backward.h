// Diagonal cells backward: a chunk of time gives the gradients of its input products, then those of x and of the weights
// while they are still in cache. Nothing as long as the sequence is kept but what forward saved.
#pragma once
#include "diagonal_forward.h"

struct Backward : Diagonal {
    const Rows gy, dx;
    const Panels inputs;     // columns of x
    const long SLOTS, IP;    // one token's gradients of input products, padded inputs
    // slots [token of the chunk][gate][HP]; columns: x of the chunk, packed [panel][token][width]; two of each, in turn
    real *slots[2], *columns[2], *W, *totals, *tall_rows, *carry[Cell::STATES];
    const real** pointers;
    long chunk, tokens;

    static constexpr int TOTALS = Cell::GATES + Cell::VECTORS, TALL = most_rows(4), SPARE = 16;
    static constexpr long TOKENS = 256;

    explicit Backward(const Call& call)
        : Diagonal(call), gy{(real*)a.gy, a.gy_time, a.gy_batch, a.packed != 0}, dx{(real*)a.dx, a.dx_time, a.dx_batch, a.packed != 0},
          inputs((a.I + L - 1) / L), SLOTS(Cell::GATES * HP + SPARE), IP(inputs.padded * (long)L) {}

    void reserve(Arena& arena) {
        Diagonal::reserve(arena);
        chunk = TOKENS < a.B ? 1 : division.longest(TOKENS / a.B);
        if (chunk > a.T) chunk = a.T;
        tokens = chunk * a.B;
        for (int i = 0; i < 2; i++) {
            slots[i] = arena.take<real>(tokens * SLOTS + SPARE);
            columns[i] = arena.take<real>(a.dw_ih ? tokens * IP : 0);
        }
        W = arena.take<real>(a.dx ? Cell::GATES * HP * IP : 0);
        totals = arena.take<real>(division.bands * division.spans * TOTALS * HP);
        tall_rows = arena.take<real>(team * (tokens * TALL + SPARE));
        pointers = arena.take<const real*>(team * 2 * tokens);
        for (int s = 0; s < Cell::STATES; s++) carry[s] = arena.take<real>(a.B * HP);
        more.reserve(arena, division.parts);
    }

    void prepare(int rank, int size) {
        for (int q = rank; a.dx && q < inputs.count; q += size) {
            const long wide = inputs.width(q) * (long)L, first = inputs.first(q) * (long)L;
            for (int g = 0; g < Cell::GATES; g++) {
                real* to = W + first * Cell::GATES * HP + g * HP * wide;
                pack_rows(to, inputs.width(q), (real*)a.w_ih + g * a.H * a.I + first, a.I, a.I - first, a.H);
                memset(to + a.H * wide, 0, (HP - a.H) * wide * sizeof(real));
            }
        }
        for (long i = rank; i < division.bands * division.spans * TOTALS; i += size) memset(totals + i * HP, 0, HP * sizeof(real));
        for (int n = rank; n < Cell::VECTORS; n += size) pad(vectors + n * HP, (real*)a.vectors[n]);
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = rank; b < a.B; b += size) pad(carry[s] + b * HP, a.g_last[s] ? (real*)a.g_last[s] + steps.place(b) * a.H : nullptr);
        if (a.dx) clear(dx, a.I, rank, size);
        more.begin(rank, size);
    }

    // Steps low..high in order of computation: times from `first` on, which hold `count` tokens from `token` on.
    struct Chunk {
        long low, high, first, token, count;
        real *slots, *columns;
        int turn;
    };
    Chunk before(long high, int turn) const {
        const long low = high > chunk ? high - chunk : 0, first = a.reverse ? a.T - high : low, last = first + high - low - 1;
        return {low, high, first, steps.offset(first), steps.token(last, steps.active(last)) - steps.offset(first), slots[turn], columns[turn], turn};
    }

    void run(int rank, int size) {  // where fewer threads came than were asked for, one does the work of several
        if (!rank && a.dx) large_pages(a.dx, (a.packed ? a.N : a.full_T * a.B) * a.I * sizeof(real));
        prepare(rank, size);
        barrier->wait(size);
        const bool scans = division.spans > 1 && size == team;
        V start[UNITS];
        if (scans) begin(rank, start);
        int turn = 0;
        for (long k = a.T; k > 0; k -= chunk, turn ^= 1) {
            const Chunk now = before(k, turn);
            if (scans) scan(rank, now, start);
            else
                for (int worker = rank; worker < team; worker += size)
                    if (!division.span(worker)) stream(worker, now);
            if (a.dw_ih) gather(rank, size, now);
            barrier->wait(size);  // the other buffers are free: whoever comes here is done with them
            if (a.dx) input_gradient(rank, size, now);
            if (a.dw_ih) weights(rank, size, now, k < a.T);
        }
        barrier->wait(size);
        finish(rank, size);
    }

    void stream(int worker, const Chunk& now) {
        const Share share = rows(worker);
        const int part = division.part(worker), last = panels.first(division.first_panel(part + 1));
        for (int v = panels.first(division.first_panel(part)); v < last && v < panels.HV; v++) {
            V total[TOTALS + 1] = {};
            for (long i = 0; i < share.rows; i++) {
                const long b = share.row(i);
                const Range range(steps, b, now.low, now.high);
                if (range.empty()) continue;
                V back[Cell::STATES];
                UNROLL for (int s = 0; s < Cell::STATES; s++) back[s] = load(carry[s] + b * HP + v * (long)L);
                row(part, v, b, range, now, back, total);
                UNROLL for (int s = 0; s < Cell::STATES; s++) store(carry[s] + b * HP + v * (long)L, back[s]);
            }
            add_totals(worker, v, total);
        }
    }
    void add_totals(int worker, int v, const V* total) const {
        real* to = totals + (division.span(worker) * division.bands + division.band(worker)) * TOTALS * HP + v * (long)L;
        UNROLL for (int n = 0; n < TOTALS; n++) store(to + n * HP, load(to + n * HP) + total[n]);
    }

    struct Values {  // of one step of one vector of units
        V save[Cell::SAVED + 1], old[Cell::STATES], fresh[Cell::STATES], extra[Cell::MORE + 1], gy;
    };
    INLINE_MEMBER Values read(int v, long b, long k) const {
        const long at = v * (long)L, t = steps.time(k), token = steps.token(t, b), before = steps.before(t, b);
        const int lanes = valid(v);
        Values is;
        UNROLL for (int n = 0; n < Cell::SAVED; n++) is.save[n] = load((real*)a.saved + ((v * a.N + token) * Cell::SAVED + n) * L);
        UNROLL for (int s = 0; s < Cell::STATES; s++) {
            const real* sequence = (real*)a.sequence[s];
            if (Cell::needs_old(s)) {
                if (before < 0) is.old[s] = part((real*)a.first[s] + steps.place(b) * a.H + at, lanes);
                else is.old[s] = s ? load(sequence + (v * a.N + steps.token(before, b)) * L) : part(steps.at(y, before, b) + at, lanes);
            }
            if (Cell::needs_new(s)) is.fresh[s] = s ? load(sequence + (v * a.N + token) * L) : part(steps.at(y, t, b) + at, lanes);
        }
        if (Cell::RAW) is.save[Cell::SAVED] = part(steps.at(x, t, b) + at, lanes);
        is.gy = a.gy ? part(steps.at(gy, t, b) + at, lanes) : V{};
        more.values(t, b, at, lanes, is.extra);
        return is;
    }

    // One vector of units of one row, back through a range of steps.
    INLINE_MEMBER void row(int worker_part, int v, long b, const Range& range, const Chunk& now, V* back, V* total) {
        const long at = v * (long)L;
        const int lanes = valid(v);
        V vector[Cell::VECTORS + 1], sum[TOTALS + 1] = {};
        load_vectors(v, vector);
        for (long k = range.end; k-- > range.begin;) {
            V d[Cell::GATES + 2], d_old[Cell::STATES], d_vector[Cell::VECTORS + 1], d_extra[Cell::MORE + 1];
            const Values is = read(v, b, k);
            const long t = steps.time(k);
            back[0] += is.gy;
            Cell::backward(is.save, is.old, is.fresh, vector, is.extra, back, d, d_old, d_vector, d_extra);
            if (Cell::EXTRAS) more.gradients(worker_part, t, b, at, lanes, d_extra);
            if (Cell::RAW && a.dx) store_part(steps.at(dx, t, b) + at, d[Cell::GATES], lanes);
            real* to = now.slots + (steps.token(t, b) - now.token) * SLOTS + at;
            UNROLL for (int g = 0; g < Cell::GATES; g++) {
                if (lanes < L) d[g] = keep(d[g], lanes);
                store(to + g * HP, d[g]);
                sum[g] += d[g];
            }
            UNROLL for (int n = 0; n < Cell::VECTORS; n++) sum[Cell::GATES + n] += d_vector[n];
            UNROLL for (int s = 0; s < Cell::STATES; s++) back[s] = lanes < L ? keep(d_old[s], lanes) : d_old[s];
        }
        UNROLL for (int n = 0; n < TOTALS; n++) total[n] += sum[n];
    }

    // As in Forward: the threads of all spans divide a chunk, the first span being that of the last steps. The gradient of a
    // state depends on the one after it by a factor and an offset.
    void begin(int worker, V* start) const {
        for (int u = 0; u < panels.units(division.part(worker)); u++)
            start[u] = load(carry[SCAN] + rows(worker).row(0) * HP + (panels.first(division.part(worker)) + u) * (long)L);
    }
    void scan(int worker, const Chunk& now, V* start) {
        const int panel = division.part(worker), span = division.span(worker);
        const long b = rows(worker).row(0), n = now.high - now.low;
        const Range mine(steps, b, now.high - division.edge(span + 1, n), now.high - division.edge(span, n));
        for (int u = 0; u < panels.units(panel); u++)
            sum(now.turn, worker, span)[u] = span ? summary(panels.first(panel) + u, b, mine) : Affine{V{}, from(worker, u, b, mine, now, start[u])};
        barrier->wait(team);
        for (int u = 0; u < panels.units(panel); u++)
            for (int s = 0; s < division.spans; s++) {
                if (s && s == span) from(worker, u, b, mine, now, start[u]);
                start[u] = s ? sum(now.turn, worker, s)[u].of(start[u]) : sum(now.turn, worker, s)[u].offset;
            }
    }
    void entering(int v, long b, const Range& range, V* back) const {  // gradients that come from after a range of steps
        const bool ends = range.end == Range(steps, b, 0, a.T).end;
        for (int s = 0; s < Cell::STATES; s++) back[s] = s != SCAN && ends ? load(carry[s] + b * HP + v * (long)L) : V{};
    }
    V from(int worker, int u, long b, const Range& range, const Chunk& now, V start) {
        const int v = panels.first(division.part(worker)) + u;
        if (range.empty()) return start;
        V back[Cell::STATES], total[TOTALS + 1] = {};
        entering(v, b, range, back);
        back[SCAN] = start;
        row(division.part(worker), v, b, range, now, back, total);
        add_totals(worker, v, total);
        if (range.begin == Range(steps, b, 0, a.T).begin)
            for (int s = 0; s < Cell::STATES; s++) store(carry[s] + b * HP + v * (long)L, back[s]);
        return back[SCAN];
    }
    Affine summary(int v, long b, const Range& range) const {
        V vector[Cell::VECTORS + 1], back[Cell::STATES], d[Cell::GATES + 2], d_old[Cell::STATES], d_vector[Cell::VECTORS + 1], d_extra[Cell::MORE + 1];
        load_vectors(v, vector);
        entering(v, b, range, back);
        Affine found{splat(1), V{}};
        for (long k = range.end; k-- > range.begin;) {
            const Values is = read(v, b, k);
            V one[Cell::STATES] = {};
            one[SCAN] = splat(1);
            Cell::backward(is.save, is.old, is.fresh, vector, is.extra, one, d, d_old, d_vector, d_extra);
            const V factor = d_old[SCAN];
            back[SCAN] = V{};
            back[0] += is.gy;
            Cell::backward(is.save, is.old, is.fresh, vector, is.extra, back, d, d_old, d_vector, d_extra);
            found.then(factor, d_old[SCAN]);
            for (int s = 0; s < Cell::STATES; s++) back[s] = V{};
        }
        return found;
    }

    // The columns of x of a chunk, packed for the product with the gradients; threads share the panels.
    void gather(int rank, int size, const Chunk& now) {
        for (int q = rank; q < inputs.count; q += size) {
            const long first = inputs.first(q) * (long)L, width = inputs.width(q) * (long)L, n = a.I - first < width ? a.I - first : width;
            real* to = now.columns + first * now.count;
            for (long t = now.first, end = now.first + now.high - now.low; t < end; t++)
                for (long b = 0, active = steps.active(t); b < active; b++, to += width) {
                    const real* from = steps.at(x, t, b) + first;
                    long c = 0;
                    for (; c + L <= n; c += L) store(to + c, load(from + c));
                    for (; c < width; c++) to[c] = c < n ? from[c] : 0;
                }
        }
    }

    // dx = slots . W for a chunk: threads share the panels of columns, or the tokens where these are few.
    void input_gradient(int rank, int size, const Chunk& now) {
        const real** in = pointers + rank * 2 * tokens;
        real** out = (real**)(in + tokens);
        const bool by_columns = inputs.count % size == 0 || inputs.count >= 4 * size;
        const long from = by_columns ? 0 : now.count * rank / size, stop = by_columns ? now.count : now.count * (rank + 1) / size;
        long m = 0, token = 0;
        for (long t = now.first, end = now.first + now.high - now.low; t < end; t++)
            for (long b = 0, active = steps.active(t); b < active; b++, token++)
                if (token >= from && token < stop) in[m] = now.slots + token * SLOTS, out[m++] = steps.at(dx, t, b);
        const int low = by_columns ? inputs.count * rank / size : 0, high = by_columns ? inputs.count * (rank + 1) / size : inputs.count;
        for (int q = low; q < high; q++) columns_gradient(q, in, out, m);
    }
    void columns_gradient(int q, const real** in, real** out, long m) const {
        const long first = inputs.first(q) * (long)L, wide = inputs.width(q) * (long)L, there = a.I - first;
        const real *panel = W + first * Cell::GATES * HP, *start = Cell::RAW ? nullptr : ZEROS;
        if (there >= wide) return product(in, 0, panel, inputs.width(q), Cell::GATES * HP, start, out, first, m);
        alignas(64) real aside[8 * 4 * L];  // the last columns go through a buffer
        real* row[8];
        for (int i = 0; i < 8; i++) row[i] = aside + i * 4 * L;
        for (long r = 0; r < m; r += 8) {
            const long n = m - r < 8 ? m - r : 8;
            for (long i = 0; Cell::RAW && i < n; i++) memcpy(row[i], out[r + i] + first, there * sizeof(real));
            product(in + r, 0, panel, inputs.width(q), Cell::GATES * HP, start, row, 0, n);
            for (long i = 0; i < n; i++) memcpy(out[r + i] + first, row[i], there * sizeof(real));
        }
    }

    // dW += slots^T . x of a chunk: threads share the rows of dW.
    void weights(int rank, int size, const Chunk& now, bool add) {
        const long blocks = (a.H + TALL - 1) / TALL, low = Cell::GATES * blocks * rank / size, high = Cell::GATES * blocks * (rank + 1) / size;
        real* mine = tall_rows + rank * (tokens * TALL + SPARE);
        for (long m = low; m < high; m++) {
            const long g = m / blocks, row = m % blocks * TALL, tall = a.H - row < TALL ? a.H - row : TALL;
            const real* from = now.slots + g * HP + row;
            for (long k = 0; k < now.count; k++, from += SLOTS) memcpy(mine + k * tall, from, 8 * sizeof(real));
            for (int q = 0; q < inputs.count; q++) meet(mine, q, now, tall, (real*)a.dw_ih + (g * a.H + row) * a.I, add);
        }
    }
    void meet(const real* column, int q, const Chunk& now, long tall, real* result, bool add) const {
        const long first = inputs.first(q) * (long)L, width = inputs.width(q) * (long)L, there = a.I - first < width ? a.I - first : width;
        alignas(64) real aside[8 * 4 * L];
        real* out[8];
        for (long r = 0; r < tall; r++) {
            out[r] = there == width ? result + r * a.I + first : aside + r * 4 * L;
            if (there < width && add) memcpy(out[r], result + r * a.I + first, there * sizeof(real));
        }
        gatework_tile(true, tall, inputs.width(q))(&column, 0, now.columns + first * now.count, now.count, add ? nullptr : ZEROS, out, 0);
        for (long r = 0; there < width && r < tall; r++) memcpy(result + r * a.I + first, out[r], there * sizeof(real));
    }

    void finish(int rank, int size) {  // first states, biases and vectors: the totals of all workers in a fixed order
        for (int s = 0; s < Cell::STATES; s++)
            for (long b = rank; a.d_first[s] && b < a.B; b += size)
                memcpy((real*)a.d_first[s] + steps.place(b) * a.H, carry[s] + b * HP, a.H * sizeof(real));
        more.finish(rank, size);
        for (int n = rank; n < TOTALS; n += size) {
            real* total = totals + n * HP;
            for (int worker = 1; worker < division.bands * division.spans; worker++)
                for (long i = 0; i < a.H; i++) total[i] += totals[(worker * TOTALS + n) * HP + i];
            real* to = n < Cell::GATES ? (a.db_ih ? (real*)a.db_ih + n * a.H : nullptr) : (real*)a.d_vectors[n - Cell::GATES];
            if (to) memcpy(to, total, a.H * sizeof(real));
        }
    }
};

extern "C" int gatework_backward(const Call* call) { return perform<Backward>(*call); }
