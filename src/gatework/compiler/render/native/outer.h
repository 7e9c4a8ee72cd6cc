// Gradients of matrices: to[rows, columns] = sum over tokens of slot^T . source, for all matrices with one source at once.
#pragma once
#include "staged_forward.h"

class Outer {
  public:
    struct Entry {
        long slot, rows;  // where the row of gradients begins, and its length
        real* to;         // [rows, columns]
        bool add;         // to what is there
    };
    static constexpr long MOST_TOKENS = 256, FLOATS = 1 << 17;

    // Columns of a source are gathered in blocks of tokens, so that one reading of them serves every entry.
    static long depth(long columns) {
        const long n = FLOATS / (room_for(padded(columns) / L) + 1);
        return n < 64 ? 64 : n > MOST_TOKENS ? MOST_TOKENS : n;
    }
    static long room(long columns) { return depth(columns) * (room_for(padded(columns) / L) + 8) + 64; }

    // rows(n): the source's row of token n.  A thread has its share of the rows of each entry.
    template <class Rows> static void multiply(Rows rows, long columns, long tokens, const real* slots, long slots_wide,
                                               const Entry* entries, int count, real* scratch, int rank, int size) {
        constexpr int TALL = most_rows(4);
        if (!columns) return;  // a layer without inputs
        const Panels panels((int)(padded(columns) / L));
        const long block = depth(columns);
        real* column = scratch + block * room_for(padded(columns) / L);
        for (long n0 = 0; n0 < tokens; n0 += block) {
            const long deep = tokens - n0 < block ? tokens - n0 : block;
            for (int q = 0; q < panels.count; q++) gather(scratch + panels.first(q) * (long)L * deep, rows, n0, deep, panels.first(q) * (long)L, panels.width(q) * (long)L, columns);
            for (int e = 0; e < count; e++) {
                const Entry& entry = entries[e];
                const long blocks = (entry.rows + TALL - 1) / TALL;
                for (long b = blocks * rank / size; b < blocks * (rank + 1) / size; b++) {
                    const long row = b * TALL, tall = entry.rows - row < TALL ? entry.rows - row : TALL;
                    const real* from = slots + n0 * slots_wide + entry.slot + row;
                    for (long k = 0; k < deep; k++, from += slots_wide) memcpy(column + k * tall, from, 8 * sizeof(real));
                    for (int q = 0; q < panels.count; q++)
                        meet(column, scratch + panels.first(q) * (long)L * deep, deep, panels.first(q) * (long)L, panels.width(q), columns, tall,
                             entry.to + row * columns, entry.add || n0 > 0);
                }
            }
        }
    }

  private:
    template <class Rows> static void gather(real* to, Rows rows, long n0, long deep, long first, long width, long columns) {
        const long n = columns - first < width ? columns - first : width;
        for (long k = 0; k < deep; k++, to += width) {
            const real* row = rows(n0 + k) + first;
            long c = 0;
            for (; c + L <= n; c += L) store(to + c, load(row + c));
            for (; c < width; c++) to[c] = c < n ? row[c] : 0;
        }
    }
    static void meet(const real* column, const real* panel, long deep, long first, int width, long columns, long tall, real* to, bool add) {
        alignas(64) real aside[8 * 4 * L];
        real* out[8];
        const bool whole = first + width * (long)L <= columns;
        for (long r = 0; r < tall; r++) {
            out[r] = whole ? to + r * columns + first : aside + r * 4 * L;
            if (!whole && add) memcpy(out[r], to + r * columns + first, (columns - first) * sizeof(real));
        }
        gatework_tile(true, (int)tall, width)(&column, 0, panel, deep, add ? nullptr : ZEROS, out, 0);
        for (long r = 0; !whole && r < tall; r++) memcpy(to + r * columns + first, out[r], (columns - first) * sizeof(real));
    }
};
