// A step in stages: work on each row by itself, then the products that follow, in rounds.  `struct Cell` gives the counts and
// tables, `struct Step` (generated, after this file) the work on a row.
#pragma once
#include "rows.h"

static long padded(long n) { return (n + L - 1) / L * L; }
static long room_for(long vectors) { return Panels((int)vectors).padded * (long)L; }  // what panels of so many vectors write to

// Offsets of everything that stands side by side in a row of memory, for the sizes of this call.
struct Shape {
    long n[Cell::SIZES];
    long gate_at[Cell::GATES + 1], state_at[Cell::STATES + 1], sum_at[Cell::PRODUCTS + 1], saved_at[Cell::SAVED + 1];
    long cross_at[Cell::CROSS + 1], d_cross_at[Cell::D_CROSS + 1], slot_at[Cell::SLOTS + 1], vector_at[Cell::VECTORS + 1];
    long operand_at[Cell::OPERANDS + 1], widest = L;

    explicit Shape(const Call& a) {
        Cell::sizes(a.H, a.I, n);
        for (int i = 0; i < Cell::SIZES; i++) widest = padded(n[i]) > widest ? padded(n[i]) : widest;
        lay(gate_at, Cell::GATES, Cell::gate_size);
        gate_at[Cell::GATES] = room_for(gate_at[Cell::GATES] / L);
        lay(state_at, Cell::STATES, Cell::state_size);
        lay(saved_at, Cell::SAVED, Cell::saved_size);
        lay(cross_at, Cell::CROSS, Cell::cross_size);
        lay(d_cross_at, Cell::D_CROSS, Cell::d_cross_size);
        lay(slot_at, Cell::SLOTS, Cell::slot_size);
        lay(vector_at, Cell::VECTORS, Cell::vector_size);
        long at = 0, sum = 0;
        for (int o = 0; o < Cell::OPERANDS; o++) operand_at[o] = at, at += room_for(padded(n[Cell::operand_size(o)]) / L);
        for (int g = 0; g < Cell::GROUPS; g++) {
            const long start = sum;
            for (int j = Cell::group_first(g); j < Cell::group_first(g + 1); j++) sum_at[j] = sum, sum += padded(n[Cell::rows(j)]);
            sum = start + room_for((sum - start) / L);
        }
        operand_at[Cell::OPERANDS] = at, sum_at[Cell::PRODUCTS] = sum;
    }
    template <class Size> void lay(long* at, int count, Size size) {
        at[0] = 0;
        for (int i = 0; i < count; i++) at[i + 1] = at[i] + padded(n[size(i)]);
    }
    double flops(const Call& a) const {
        double sum = 0;
        for (int i = 0; i < Cell::GATES; i++) sum += (double)n[Cell::gate_size(i)] * a.I;
        for (int j = 0; j < Cell::PRODUCTS; j++) sum += (double)n[Cell::rows(j)] * n[Cell::columns(j)] / n[Cell::heads(j)];
        return 2 * a.B * sum;
    }
    // With 8 rows or more threads divide the rows and never meet.  With fewer they divide the units of every product, meet after it,
    // and do the work on rows each for itself: that is less than another meeting.
    static bool rows_split(const Call& a) { return a.B >= 8; }
    int team(const Call& a) const {
        const double work = flops(a);
        if (a.threads <= 1 || work * a.T < 400e3) return 1;
        const long parts = rows_split(a) ? a.B / 4 : (padded(n[0]) / L + 3) / 4;
        return rows_split(a) || work >= 100e3 ? (int)(parts < 1 ? 1 : parts < a.threads ? parts : a.threads) : 1;
    }
};

// Everything that the work on one row reads and writes.
struct Row {
    const real *gates, *old, *sums, *raw, *vectors, *d_fresh, *d_operand;
    real *fresh, *y, *saved, *cross, *temps, *d_old, *slots, *d_cross, *totals, *vector_totals, *d_raw;
    const real* extra[Cell::EXTRAS + 1];
    real* d_extra[Cell::EXTRAS + 1];
    uint64_t key[Cell::NOISES + 1];
};

// What stages read at a step beside buffers: extra inputs, the raw input, noise.
class Given {
    const Steps steps;
    const Rows x;
    uint64_t stream[Cell::NOISES + 1], begin = 0;

  public:
    explicit Given(const Call& a) : steps(a), x{(real*)a.x, a.x_time, a.x_batch, a.packed != 0} {
        const int64_t* seed = (const int64_t*)a.seed;
        if (Cell::NOISES) begin = seed[1];
        for (int k = 0; k < Cell::NOISES; k++) stream[k] = scramble(scramble(seed[0]) ^ (uint64_t)k);
    }
    void fill(Row& r, long t, long b) const {
        const Call& a = steps.a;
        if (Cell::RAW) r.raw = steps.at(x, t, b);
        for (int k = 0; k < Cell::EXTRAS; k++)
            r.extra[k] = steps.at(Rows{(real*)a.extra[k], a.extra_time[k], a.extra_batch[k], a.packed != 0}, t, b);
        for (int k = 0; k < Cell::NOISES; k++) {
            const uint64_t time = Cell::noise_sequence(k) ? 0xFFFFFFFFu : (uint64_t)(begin + t);
            r.key[k] = scramble(scramble(stream[k] ^ time) ^ (uint64_t)steps.place(b));
        }
    }
};

// Matrices [rows, K] one below the other, packed in panels: out = bias + in . matrices^T.  With heads, one matrix of which
// block q maps part q of the input to part q of the output.
class Packed {
  public:
    static constexpr int MOST = Cell::GATES > Cell::PRODUCTS ? Cell::GATES + 1 : Cell::PRODUCTS + 1;
    int count = 0;
    const real *weight[MOST], *bias[MOST];
    long rows[MOST], K = 0, heads = 1;
    real *data = nullptr, *start = nullptr;

    void add(const real* matrix, const real* vector, long n) { weight[count] = matrix, bias[count] = vector, rows[count++] = n; }
    long vectors() const {
        long sum = 0;
        for (int i = 0; i < count; i++) sum += padded(rows[i] / heads) / L;
        return sum;
    }
    long room() const { return room_for(vectors()); }  // of one head
    void reserve(Arena& arena, bool packs) {
        data = arena.take<real>(packs ? heads * room() * K + 16 * L : 0);
        start = arena.take<real>(heads * room());
    }
    template <class Mine> void pack(Mine mine, bool packs) const {
        const Panels panels((int)vectors());
        for (long q = 0; q < heads; q++) {
            long column = 0;
            for (int i = 0; i < count; i++)
                for (long first = 0, n = rows[i] / heads; first < n; first += L, column++) {
                    if (!mine()) continue;
                    for (int c = 0; c < L; c++) start[q * room() + column * L + c] = bias[i] && first + c < n ? bias[i][q * n + first + c] : 0;
                    if (!packs) continue;
                    int p = 0;
                    while (p + 1 < panels.count && panels.first(p + 1) <= column) p++;
                    const int width = panels.width(p);
                    real* to = data + q * room() * K + panels.first(p) * (long)L * K + (column - panels.first(p)) * L;
                    pack_transposed(to, width * L, weight[i] + (q * n + first) * K, K, n - first, K);
                }
            for (; column < panels.padded; column++) {
                if (!mine()) continue;
                memset(start + q * room() + column * L, 0, L * sizeof(real));
                int p = 0;
                while (p + 1 < panels.count && panels.first(p + 1) <= column) p++;
                real* to = data + q * room() * K + panels.first(p) * (long)L * K + (column - panels.first(p)) * L;
                for (long k = 0; packs && k < K; k++) memset(to + k * panels.width(p) * L, 0, L * sizeof(real));
            }
        }
    }
    long tasks() const { return heads * Panels((int)vectors()).count; }
    // Tasks from .. to of rows in[i] -> out[i]; in and out are put forward to the part of each head.
    void apply(const real** in, real** out, long n, long from, long to) const {
        const Panels panels((int)vectors());
        for (long task = from; task < to; task++) {
            const long q = task / panels.count;
            const int p = task % panels.count;
            const real* panel = data + q * room() * K + panels.first(p) * (long)L * K;
            const real* begin = start + q * room() + panels.first(p) * (long)L;
            if (heads == 1) {
                product(in, 0, panel, panels.width(p), K, begin, out, panels.first(p) * (long)L, n);
                continue;
            }
            const long part = rows[0] / heads, at = panels.first(p) * (long)L, wide = panels.width(p) * (long)L;
            alignas(64) real aside[8 * 4 * L];
            real* room8[8];
            for (int i = 0; i < 8; i++) room8[i] = aside + i * 4 * L;
            for (long r = 0; r < n; r += 8) {
                const long some = n - r < 8 ? n - r : 8;
                product(in + r, q * K, panel, panels.width(p), K, begin, room8, 0, some);
                for (long i = 0; i < some; i++) memcpy(out[r + i] + q * part + at, room8[i], (part - at < wide ? part - at : wide) * sizeof(real));
            }
        }
    }
    // The same for a few rows, straight from the matrices.
    void apply_unpacked(const real** in, real** out, long n, int rank, int size) const {
        long task = 0, column = 0;
        for (int i = 0; i < count; i++)
            for (long q = 0; q < heads; q++) {
                const long part = rows[i] / heads;
                for (long first = 0; first < part; first += L) {
                    if (task++ % size != rank) continue;
                    for (long r = 0; r < n; r++) {
                        const int lanes = part - first < L ? part - first : L;
                        V v = dots(weight[i] + (q * part + first) * K, K, lanes, in[r] + q * K, K);
                        if (bias[i]) v += load_upto(bias[i] + q * part + first, part - first);
                        if (heads > 1) store_upto(out[r] + q * part + first, v, part - first);
                        else store(out[r] + column * L + first, v);
                    }
                }
                column += padded(part) / L;
            }
    }
};

// A matrix [rows, columns] packed for out (+)= in . matrix, as gradients of its operand are made.
class Turned {
  public:
    const real* weight = nullptr;
    long rows = 0, columns = 0, heads = 1;  // of each head
    real* data = nullptr;

    long room() const { return room_for(padded(columns) / L); }
    void reserve(Arena& arena) { data = arena.take<real>(heads * room() * rows + 16 * L); }
    template <class Mine> void pack(Mine mine) const {
        const Panels panels((int)(padded(columns) / L));
        for (long q = 0; q < heads; q++)
            for (int p = 0; p < panels.count; p++) {
                const long first = panels.first(p) * (long)L;
                if (mine()) pack_rows(data + q * room() * rows + first * rows, panels.width(p), weight + q * rows * columns + first, columns, columns - first, rows);
            }
    }
    long tasks() const { return heads * Panels((int)(padded(columns) / L)).count; }
    // out[i] gets or, with `add`, gains.  `exact`: nothing may be written beyond the columns.
    void apply(const real** in, real** out, long n, bool add, bool exact, long from, long to) const {
        const Panels panels((int)(padded(columns) / L));
        for (long task = from; task < to; task++) {
            const long q = task / panels.count;
            const int p = task % panels.count;
            const long at = panels.first(p) * (long)L, wide = panels.width(p) * (long)L, there = columns - at < wide ? columns - at : wide;
            const real* panel = data + q * room() * rows + at * rows;
            if ((heads == 1 && !exact) || there == wide) {
                product(in, q * rows, panel, panels.width(p), rows, add ? nullptr : ZEROS, out, q * columns + at, n);
                continue;
            }
            alignas(64) real aside[8 * 4 * L];
            real* room8[8];
            for (int i = 0; i < 8; i++) room8[i] = aside + i * 4 * L;
            for (long r = 0; r < n; r += 8) {
                const long some = n - r < 8 ? n - r : 8;
                for (long i = 0; i < some; i++) memcpy(room8[i], out[r + i] + q * columns + at, there * sizeof(real));
                product(in + r, q * rows, panel, panels.width(p), rows, add ? nullptr : ZEROS, room8, 0, some);
                for (long i = 0; i < some; i++) memcpy(out[r + i] + q * columns + at, room8[i], there * sizeof(real));
            }
        }
    }
};
