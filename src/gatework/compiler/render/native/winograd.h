// Convolutions of 3 x 3 with zeros around the image, in 16 products for 4 results instead of 36: F(2 x 2, 3 x 3) of
// Winograd; Lavin & Gray, arXiv:1509.09308. Images lie as [n][H][W][channels].
#pragma once
#include "threads.h"
#include "tile.h"

struct Winograd {
    static constexpr long BLOCK = 48;  // tiles of 2 x 2 results computed together: what they need stays in the caches
    static constexpr int P = 16;       // products for one tile

    const long n, H, W, I, O, tall, wide, tiles, blocks, I_row;
    const long x_step;                            // from one product's inputs to the next's
    static constexpr long y_step = BLOCK * 4 * L + L;  // and its results; no power of two, which would fill few lines of a cache
    const Panels panels;
    const long O_row;

    Winograd(long images, long height, long width, long in, long out)
        : n(images), H(height), W(width), I(in), O(out), tall((H + 1) / 2), wide((W + 1) / 2), tiles(n * tall * wide),
          blocks((tiles + BLOCK - 1) / BLOCK), I_row((I + L - 1) / L * L), x_step(BLOCK * I_row + L), panels((O + L - 1) / L), O_row(panels.padded * (long)L) {}

    static V get(const real* p, long left) { return left >= L ? load(p) : load_part(p, left); }
    static void put(real* p, V v, long left) { left >= L ? store(p, v) : store_part(p, v, left); }
    const real* panel(const real* matrix, int p, int q) const { return matrix + p * I * O_row + panels.first(q) * (long)L * I; }
    real* panel(real* matrix, int p, int q) const { return matrix + p * I * O_row + panels.first(q) * (long)L * I; }

    // G g G^T of every kernel [O][I][3][3], packed into panels; `back`: of the kernels turned round, [I][O][3][3].
    void weights(const real* kernels, bool back, real* to) const {
        memset(to, 0, P * I * O_row * sizeof(real));
        for (int q = 0; q < panels.count; q++)
            for (long o = panels.first(q) * (long)L, end = o + panels.width(q) * (long)L; o < end && o < O; o++)
                for (long i = 0; i < I; i++) {
                    const real* g = kernels + (back ? i * O + o : o * I + i) * 9;
                    real half[4][3], whole_[4][4];
                    for (int c = 0; c < 3; c++) {
                        const real a = g[back ? 8 - c : c], b = g[back ? 5 - c : 3 + c], d = g[back ? 2 - c : 6 + c];
                        half[0][c] = a, half[1][c] = (a + b + d) / 2, half[2][c] = (a - b + d) / 2, half[3][c] = d;
                    }
                    for (int r = 0; r < 4; r++) {
                        const real a = half[r][0], b = half[r][1], d = half[r][2];
                        whole_[r][0] = a, whole_[r][1] = (a + b + d) / 2, whole_[r][2] = (a - b + d) / 2, whole_[r][3] = d;
                    }
                    const long wide_ = panels.width(q) * (long)L, column = o - panels.first(q) * (long)L;
                    for (int p = 0; p < P; p++) panel(to, p, q)[i * wide_ + column] = whole_[p / 4][p % 4];
                }
    }

    struct Place { long image, y, x; };  // of a tile's first result
    Place place(long tile) const {
        const long image = tile / (tall * wide), rest = tile % (tall * wide);
        return {image, rest / wide * 2, rest % wide * 2};
    }

    // B^T d B of the 4 x 4 inputs of each tile, to [P][x_step], rows of I_row.
    void inputs(const real* x, long first, long count, real* to) const {
        for (long t = 0; t < count; t++) {
            const Place at = place(first + t);
            const bool inside = at.y > 0 && at.x > 0 && at.y + 2 < H && at.x + 2 < W;
            const real* corner = x + ((at.image * H + at.y - 1) * W + at.x - 1) * I;
            for (long c = 0; c < I; c += L) {
                V d[4][4];
                UNROLL for (int r = 0; r < 4; r++)
                    UNROLL for (int s = 0; s < 4; s++) {
                        const long yy = at.y - 1 + r, xx = at.x - 1 + s;
                        const bool there = inside || (yy >= 0 && yy < H && xx >= 0 && xx < W);
                        d[r][s] = there ? get(corner + (r * W + s) * I + c, I - c) : V{};
                    }
                V h[4][4];
                UNROLL for (int s = 0; s < 4; s++)
                    h[0][s] = d[0][s] - d[2][s], h[1][s] = d[1][s] + d[2][s], h[2][s] = d[2][s] - d[1][s], h[3][s] = d[1][s] - d[3][s];
                UNROLL for (int r = 0; r < 4; r++) {
                    real* p = to + r * 4 * x_step + t * I_row + c;
                    store(p, h[r][0] - h[r][2]);
                    store(p + x_step, h[r][1] + h[r][2]);
                    store(p + 2 * x_step, h[r][2] - h[r][1]);
                    store(p + 3 * x_step, h[r][1] - h[r][3]);
                }
            }
        }
    }

    // A^T m A of each tile for one panel, from [P][y_step], rows of 4 L.
    void outputs(const real* m, const real* bias, long first, long count, int q, real* y) const {
        for (long t = 0; t < count; t++) {
            const Place at = place(first + t);
            for (int u = 0; u < panels.width(q); u++) {
                const long c = (panels.first(q) + u) * (long)L;
                if (c >= O) break;
                const real* from = m + t * 4 * L + u * L;
                V h[2][4];
                UNROLL for (int s = 0; s < 4; s++) {
                    const V a = load(from + (4 + s) * y_step), b = load(from + (8 + s) * y_step);
                    h[0][s] = load(from + s * y_step) + a + b;
                    h[1][s] = a - b - load(from + (12 + s) * y_step);
                }
                const V more = bias ? get(bias + c, O - c) : V{};
                UNROLL for (int r = 0; r < 2; r++) {
                    if (at.y + r >= H) break;
                    real* to = y + ((at.image * H + at.y + r) * W + at.x) * O + c;
                    put(to, h[r][0] + h[r][1] + h[r][2] + more, O - c);
                    if (at.x + 1 < W) put(to + O, h[r][1] - h[r][2] - h[r][3] + more, O - c);
                }
            }
        }
    }

    // A d A^T of the 2 x 2 gradients of each tile for one panel, to [P][y_step], rows of width L; their sums are added to `sum`.
    void gradients(const real* d, long first, long count, int q, real* to, real* sum) const {
        const long row = panels.width(q) * (long)L, step = y_step;
        for (long t = 0; t < count; t++) {
            const Place at = place(first + t);
            for (int u = 0; u < panels.width(q); u++) {
                const long c = (panels.first(q) + u) * (long)L;
                V g[2][2];
                UNROLL for (int r = 0; r < 2; r++)
                    UNROLL for (int s = 0; s < 2; s++) {
                        const bool there = c < O && at.y + r < H && at.x + s < W;
                        g[r][s] = there ? get(d + ((at.image * H + at.y + r) * W + at.x + s) * O + c, O - c) : V{};
                    }
                const V h[4][2] = {{g[0][0], g[0][1]}, {g[0][0] + g[1][0], g[0][1] + g[1][1]}, {g[0][0] - g[1][0], g[0][1] - g[1][1]}, {-g[1][0], -g[1][1]}};
                UNROLL for (int r = 0; r < 4; r++) {
                    real* p = to + r * 4 * step + t * row + u * L;
                    store(p, h[r][0]), store(p + step, h[r][0] + h[r][1]), store(p + 2 * step, h[r][0] - h[r][1]), store(p + 3 * step, -h[r][1]);
                }
                store(sum + c, load(sum + c) + h[1][0] + h[1][1]);
            }
        }
    }

    long room(bool weight_gradient) const {  // numbers of one thread
        return P * (x_step + y_step) + (weight_gradient ? P * I * O_row + O_row : 0);
    }

    void run(const real* x, const real* u, const real* bias, real* y, int rank, int size, real* mine) const {
        real *v = mine, *m = v + P * x_step;
        const real* in[BLOCK];
        real* out[BLOCK];
        for (long b = blocks * rank / size, end = blocks * (rank + 1) / size; b < end; b++) {
            const long first = b * BLOCK, count = tiles - first < BLOCK ? tiles - first : BLOCK;
            inputs(x, first, count, v);
            for (int q = 0; q < panels.count; q++) {
                for (int p = 0; p < P; p++) {
                    for (long t = 0; t < count; t++) in[t] = v + p * x_step + t * I_row, out[t] = m + p * y_step + t * 4 * L;
                    product(in, 0, panel(u, p, q), panels.width(q), I, ZEROS, out, 0, count);
                }
                outputs(m, bias, first, count, q, y);
            }
        }
    }

    // c[r] += sum over tiles k of a[k][r] b[k]: R rows of the gradient of one product's weights.
    template <int R, int NV> static void outer(const real* a, long a_row, const real* b, long count, real* c) {
        V sum[R][NV];
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int i = 0; i < NV; i++) sum[r][i] = load(c + (r * NV + i) * L);
        for (long k = 0; k < count; k++, a += a_row, b += NV * L) {
            V row[NV];
            UNROLL for (int i = 0; i < NV; i++) row[i] = load(b + i * L);
            UNROLL for (int r = 0; r < R; r++) {
                const V s = splat(a[r]);
                UNROLL for (int i = 0; i < NV; i++) sum[r][i] += s * row[i];
            }
        }
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int i = 0; i < NV; i++) store(c + (r * NV + i) * L, sum[r][i]);
    }
    template <int NV, int R = most_rows(NV)> static void outers(const real* a, long a_row, const real* b, long count, real* c, long rows) {
        for (; rows >= R; rows -= R, a += R, c += R * NV * L) outer<R, NV>(a, a_row, b, count, c);
        if constexpr (R > 1)
            if (rows) outers<NV, R - 1>(a, a_row, b, count, c, rows);
    }

    // This thread's part of the gradient of the transformed weights, and of the bias behind it.
    void weight_gradients(const real* x, const real* d, int rank, int size, real* mine) const {
        real *v = mine, *m = v + P * x_step, *total = m + P * y_step, *sum = total + P * I * O_row;
        memset(total, 0, (P * I * O_row + O_row) * sizeof(real));
        for (long b = blocks * rank / size, end = blocks * (rank + 1) / size; b < end; b++) {
            const long first = b * BLOCK, count = tiles - first < BLOCK ? tiles - first : BLOCK;
            inputs(x, first, count, v);
            for (int q = 0; q < panels.count; q++) {
                gradients(d, first, count, q, m, sum);
                for (int p = 0; p < P; p++) {
                    const real *a = v + p * x_step, *g = m + p * y_step;
                    real* c = panel(total, p, q);
                    switch (panels.width(q)) {
                        case 1: outers<1>(a, I_row, g, count, c, I); break;
                        case 2: outers<2>(a, I_row, g, count, c, I); break;
                        case 3: outers<3>(a, I_row, g, count, c, I); break;
                        default: outers<4>(a, I_row, g, count, c, I);
                    }
                }
            }
        }
    }
    // G^T (sum of all threads' parts) G to [O][I][3][3], and the sums of the bias.
    void gather(const real* parts, long apart, int size, real* dw, real* db) const {
        const long skip = P * (x_step + y_step);
        for (int q = 0; q < panels.count; q++)
            for (long o = panels.first(q) * (long)L, end = o + panels.width(q) * (long)L; o < end && o < O; o++) {
                const long wide_ = panels.width(q) * (long)L, column = o - panels.first(q) * (long)L;
                for (long i = 0; i < I; i++) {
                    real u[4][4] = {}, h[3][4];
                    for (int part = 0; part < size; part++)
                        for (int p = 0; p < P; p++) u[p / 4][p % 4] += panel(parts + part * apart + skip, p, q)[i * wide_ + column];
                    for (int c = 0; c < 4; c++) {
                        const real plus = (u[1][c] + u[2][c]) / 2, minus = (u[1][c] - u[2][c]) / 2;
                        h[0][c] = u[0][c] + plus, h[1][c] = minus, h[2][c] = plus + u[3][c];
                    }
                    real* g = dw + (o * I + i) * 9;
                    for (int r = 0; r < 3; r++) {
                        const real plus = (h[r][1] + h[r][2]) / 2, minus = (h[r][1] - h[r][2]) / 2;
                        g[r * 3] = h[r][0] + plus, g[r * 3 + 1] = minus, g[r * 3 + 2] = plus + h[r][3];
                    }
                }
                if (db) db[o] = 0;
                for (int part = 0; db && part < size; part++) db[o] += parts[part * apart + skip + P * I * O_row + o];
            }
    }
};

static thread_local Arena winograd_memory;

// Numbers of the transformed kernels.
extern "C" int64_t gatework_winograd_size(int64_t I, int64_t O) { return Winograd::P * I * Winograd(1, 1, 1, I, O).O_row; }
// Kernels to transformed ones, for a convolution from I to O channels; `back`: they are [I][O][3][3] and turned round.
extern "C" void gatework_winograd_kernels(const real* kernels, real* to, int64_t I, int64_t O, int64_t back) {
    Winograd(1, 1, 1, I, O).weights(kernels, back, to);
}

// y = x * kernels (transformed) + bias, which may be null. 1: no memory.
extern "C" int gatework_winograd(const real* x, const real* kernels, const real* bias, real* y, int64_t n, int64_t H, int64_t W,
                                 int64_t I, int64_t O, int64_t threads) try {
    const Winograd w(n, H, W, I, O);
    const int team = w.blocks < threads ? (int)w.blocks : (int)threads;
    const long room = w.room(false);
    winograd_memory.begin(team * room * sizeof(real) + 512);
    real* rooms = winograd_memory.take<real>(team * room);
    on_team(team, [&](int rank, int size) { w.run(x, kernels, bias, y, rank, size, rooms + rank * room); });
    winograd_memory.end();
    return 0;
} catch (const std::bad_alloc&) { return 1; }

// Gradients of the kernels [O][I][3][3] and, unless null, of the bias, from that of y. 1: no memory.
extern "C" int gatework_winograd_gradients(const real* x, const real* d, real* dw, real* db, int64_t n, int64_t H, int64_t W,
                                           int64_t I, int64_t O, int64_t threads) try {
    const Winograd w(n, H, W, I, O);
    const int team = w.blocks < threads ? (int)w.blocks : (int)threads;
    const long room = (w.room(true) + L - 1) / L * L;
    winograd_memory.begin(team * room * sizeof(real) + 512);
    real* rooms = winograd_memory.take<real>(team * room);
    int granted = 1;
    on_team(team, [&](int rank, int size) {
        if (!rank) granted = size;
        w.weight_gradients(x, d, rank, size, rooms + rank * room);
    });
    w.gather(rooms, room, granted, dw, db);
    winograd_memory.end();
    return 0;
} catch (const std::bad_alloc&) { return 1; }
