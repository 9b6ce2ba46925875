// Greedy transition parsing, a sentence at a time: the loop of `TransitionScorer.decide` without a tensor a step.
//
// Compiled for one number of PLACES, CHILDREN, HIDDEN units and LABELS, with SWAP 0 or 1 (-D options;
// see kernel.py). Names, numbers and the order of features are those of transitions.py and transition_scorer.py.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

constexpr int CLASSES = 2 + 2 * LABELS;
constexpr int LANES = (CLASSES + 15) / 16 * 16;
enum Transition { SHIFT_, SWAP_, LEFT_, RIGHT_ };

typedef float vec __attribute__((vector_size(64), aligned(4)));
typedef int32_t ints __attribute__((vector_size(64), aligned(4)));

static inline vec at(const float* place) { return *(const vec*)place; }
static inline void put(float* place, vec x) { *(vec*)place = x; }

// Of numbers that are not positive; 0 from -87 down.
static inline vec exp(vec x) {
    x *= 1.44269504f;
    const vec whole = (x + 12582912.f) - 12582912.f, f = x - whole;  // adding 1.5 * 2^23 rounds to a whole number
    vec p = 1.535336188e-4f * f + 1.339887440e-3f;                   // Taylor's polynomial, relative error 1e-7
    p = p * f + 9.618437357e-3f;
    p = p * f + 5.550332548e-2f;
    p = p * f + 2.402264791e-1f;
    p = p * f + 6.931472028e-1f;
    p = p * f + 1.f;
    const vec kept = x < -125.f ? vec{} : whole;
    return x < -125.f ? vec{} : (vec)((ints)p + (__builtin_convertvector(kept, ints) << 23));
}

struct Weights {
    const float* words;      // [batch, width, PLACES, HIDDEN]
    const float* labels;     // [LABELS + 1, CHILDREN, HIDDEN]
    const float* out;        // [HIDDEN, LANES]
    const float* bias;       // [LANES]
    const uint8_t* allowed;  // [2, LABELS]: labels of arcs from a word, and from the root
};

struct Sentence {
    const float* words;  // [width, PLACES, HIDDEN]
    int length, nothing;
    int64_t *heads, *labels;  // [nothing + 1] by word
    float* scores;
};

struct Parser {
    const Weights& weights;
    const Sentence& sentence;
    std::vector<int> stack, buffer;                      // the top is last
    std::vector<int> left, right, left_before, right_before;  // children attached last, and before last
    alignas(64) float hidden[HIDDEN], score[LANES];

    Parser(const Weights& weights, const Sentence& sentence)
        : weights(weights), sentence(sentence), stack{0}, left(sentence.nothing + 1, sentence.nothing),
          right(left), left_before(left), right_before(left) {
        for (int word = sentence.length; word > 0; word--) buffer.push_back(word);
    }

    int top(const std::vector<int>& words, size_t k) const {
        return k < words.size() ? words[words.size() - 1 - k] : sentence.nothing;
    }

    void add(const float* row) {
        for (int h = 0; h < HIDDEN; h++) hidden[h] += row[h];
    }

    void read_state() {
        std::fill(hidden, hidden + HIDDEN, 0.f);
        const int first = top(stack, 0), second = top(stack, 1);
        const int word[18] = {
            first, second, top(stack, 2), top(buffer, 0),
#if PLACES == 18
            top(buffer, 1), top(buffer, 2),
#endif
            left[first], left[second], right[first], right[second],
            left_before[first], left_before[second], right_before[first], right_before[second],
            left[left[first]], left[left[second]], right[right[first]], right[right[second]]};
        for (int place = 0; place < CHILDREN; place++)
            add(weights.labels + (sentence.labels[word[PLACES - CHILDREN + place]] * CHILDREN + place) * HIDDEN);
        for (int place = 0; place < PLACES; place++) add(sentence.words + ((long)word[place] * PLACES + place) * HIDDEN);
    }

    void compute_scores() {
        vec sum[LANES / 16];
        for (int c = 0; c < LANES / 16; c++) sum[c] = at(weights.bias + 16 * c);
        for (int h = 0; h < HIDDEN; h++) {
            const vec x = std::max(hidden[h], 0.f) - vec{};
            const float* row = weights.out + (long)h * LANES;
            for (int c = 0; c < LANES / 16; c++) sum[c] += x * at(row + 16 * c);
        }
        for (int c = 0; c < LANES / 16; c++) put(score + 16 * c, sum[c]);
    }

    void forbid() {
        const float never = -std::numeric_limits<float>::infinity();
        const bool two_words = stack.size() >= 3, last = stack.size() == 2 && buffer.empty();
        if (buffer.empty()) score[SHIFT_] = never;
        if (!SWAP || !two_words || top(stack, 1) >= top(stack, 0)) score[SWAP_] = never;
        const uint8_t* allowed = weights.allowed + (stack.size() == 2) * LABELS;
        for (int label = 0; label < LABELS; label++) {
            if (!two_words || !allowed[label]) score[2 + 2 * label] = never;
            if (!(two_words || last) || !allowed[label]) score[3 + 2 * label] = never;
        }
        for (int c = CLASSES; c < LANES; c++) score[c] = never;
    }

    void attach(int head, int child, int chosen, std::vector<int>& children, std::vector<int>& before) {
        sentence.heads[child] = head;
        sentence.labels[child] = (chosen - 2) / 2 + 1;
        before[head] = children[head];
        children[head] = child;
        vec sums = {};
        for (int c = 0; c < LANES; c += 16) sums += exp(at(score + c) - score[chosen]);
        float sum = 0;
        for (int lane = 0; lane < 16; lane++) sum += sums[lane];
        sentence.scores[child] = -std::log(sum);
    }

    void step() {
        read_state();
        compute_scores();
        forbid();
        const int chosen = std::max_element(score, score + CLASSES) - score;
        const int first = top(stack, 0), second = top(stack, 1);
        if (chosen == SHIFT_) {
            stack.push_back(buffer.back());
            buffer.pop_back();
            return;
        }
        stack.pop_back();
        if (chosen == SWAP_) {
            stack.back() = first;
            buffer.push_back(second);
        } else if (chosen % 2 == 0) {
            stack.back() = first;
            attach(first, second, chosen, left, left_before);
        } else {
            attach(second, first, chosen, right, right_before);
        }
    }

    void run() {
        while (stack.size() > 1 || !buffer.empty()) step();
    }
};

// Parses all sentences. `heads`, `labels` (plus 1, 0 for none) and `scores` have `width` places a sentence, by word: the
// root is place 0 and the last place stands for no word; labels must come as zeros.
extern "C" void parse(const float* words, const float* labels, const float* out, const float* bias,
                      const uint8_t* allowed, const int64_t* lengths, long batch, long width, int threads,
                      int64_t* heads, int64_t* found, float* scores) {
    const Weights weights{words, labels, out, bias, allowed};
    std::atomic<long> next{0};
    auto work = [&] {
        for (long b; (b = next++) < batch;) {
            const Sentence sentence{words + b * width * PLACES * HIDDEN, (int)lengths[b],   (int)width - 1,
                                    heads + b * width,                   found + b * width, scores + b * width};
            Parser(weights, sentence).run();
        }
    };
    std::vector<std::thread> crew;
    for (int thread = 1; thread < threads; thread++) crew.emplace_back(work);
    work();
    for (auto& member : crew) member.join();
}
