// The layers of `WindowEncoder` (encoder.py) without gradients, a sentence at a time, which stays in the cache: torch
// goes over all words of the batch a dozen times a layer. Numbers are float, or bfloat16 with states in float.

#include <cmath>

#include "native.h"

constexpr float EPSILON = 1e-5f;             // torch.nn.LayerNorm's
constexpr int TOGETHER = std::min(ROWS, 5);  // rows that are multiplied together

template <class T>
static void normalise(const float* state, const float* scale, const float* shift, long dim, T* to) {
    vec sums = {}, squares = {};
    for (long k = 0; k < dim; k += LANES) sums += load(state + k);
    float mean = 0, variance = 0;
    for (int lane = 0; lane < LANES; lane++) mean += sums[lane] / dim;
    for (long k = 0; k < dim; k += LANES) squares += (load(state + k) - mean) * (load(state + k) - mean);
    for (int lane = 0; lane < LANES; lane++) variance += squares[lane] / dim;
    const float factor = 1.f / std::sqrt(variance + EPSILON);
    for (long k = 0; k < dim; k += LANES)
        store(to + k, (load(state + k) - mean) * factor * load(scale + k) + load(shift + k));
}

// Changes states [batch, width, dim] in place; `lengths` count words without the root. Weights of a layer are
// [dim, 3 * dim], of the word before, the word itself and the word after; `parts` [layers, 3, dim] are the biases, and
// the scales and shifts of the norms.
template <class T>
static void window(T* states, const T* weights, const float* parts, const int64_t* lengths, long batch, long width,
                   long dim, long layers, long threads) {
    std::vector<Packed<T>> packed;
    for (long layer = 0; layer < layers; layer++)
        packed.push_back(packed_columns(weights + layer * dim * 3 * dim, 3 * dim, dim, 1, 3 * dim, threads));
    const long margin = 1L << layers >> 1;  // words that the last layer looks at beyond the ends
    run_parts(batch, threads, [&](long b) {
        const long rows = lengths[b] + 1;
        std::vector<T> seen((rows + 2 * margin) * dim, T{});
        std::vector<float> state(rows * dim);
        for (long k = 0; k < rows * dim; k += LANES) store(state.data() + k, load(states + b * width * dim + k));
        for (long layer = 0; layer < layers; layer++) {
            const float *bias = parts + layer * 3 * dim, *scale = bias + dim, *shift = scale + dim;
            for (long row = 0; row < rows; row++)
                normalise(state.data() + row * dim, scale, shift, dim, seen.data() + (margin + row) * dim);
            for (long block = 0; block < dim; block += 4 * LANES)
                in_groups<TOGETHER>(0, rows, [&](auto count, long row) {
                    constexpr int R = decltype(count)::value;
                    vec sums[R][4] = {};
                    for (long place = 0; place < 3; place++)
                        multiply<T, R>(seen.data() + (margin + row + (place - 1) * (1L << layer)) * dim, dim,
                                       packed[layer].get() + (block * 3 + place * 4 * LANES) * dim, dim, sums);
#pragma GCC unroll 5
                    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
                        for (int j = 0; j < 4; j++) {
                            if (block + j * LANES >= dim) break;
                            float* const to = state.data() + (row + r) * dim + block + j * LANES;
                            const vec hidden = sums[r][j] + load(bias + block + j * LANES);
                            store(to, load(to) + (hidden > 0.f ? hidden : vec{}));
                        }
                });
        }
        for (long k = 0; k < rows * dim; k += LANES) store(states + b * width * dim + k, load(state.data() + k));
    });
}

#define EXPORT(NAME, T)                                                                                               \
    extern "C" void NAME##_window(T* states, const T* weights, const float* parts, const int64_t* lengths,           \
                                  long batch, long width, long dim, long layers, long threads) {                      \
        window(states, weights, parts, lengths, batch, width, dim, layers, threads);                                  \
    }
EXPORT(float32, float)
#ifdef __AVX512BF16__
EXPORT(bfloat16, Bfloat)
#endif
