// Greedy transition parsing, a sentence at a time: the loop of `TransitionScorer.decide` without a tensor a step.
//
// Compiled for one number of PLACES, CHILDREN, HIDDEN units and LABELS, with SWAP 0 or 1 (-D options;
// see kernel.py). Names, numbers and the order of features are those of transitions.py and transition_scorer.py.

#include <cmath>
#include <limits>

#include "native.h"

constexpr int CLASSES = 2 + 2 * LABELS;
constexpr int WIDTH = (CLASSES + LANES - 1) / LANES * LANES;
enum Transition { SHIFT_, SWAP_, LEFT_, RIGHT_ };
enum Arcs { ARCS, LAST_ARC, NO_ARC };  // two words on the stack; the root and the last word; neither

static const float NEVER = -std::numeric_limits<float>::infinity();

struct Weights {
    const float* words;      // [batch, width, PLACES, HIDDEN]
    const float* labels;     // [LABELS + 1, CHILDREN, HIDDEN]
    const float* out;        // [HIDDEN, WIDTH]
    const float* bias;       // [WIDTH]
    float barred[3][WIDTH];  // 0 or minus infinity for each class: ARCS, LAST_ARC, NO_ARC

    // `allowed` [2, LABELS] tells labels of arcs from a word, and from the root.
    Weights(const float* words, const float* labels, const float* out, const float* bias, const uint8_t* allowed)
        : words(words), labels(labels), out(out), bias(bias) {
        std::fill(&barred[0][0], &barred[0][0] + 3 * WIDTH, NEVER);
        for (auto& state : barred) state[SHIFT_] = state[SWAP_] = 0.f;
        for (int label = 0; label < LABELS; label++) {
            if (allowed[label]) barred[ARCS][2 + 2 * label] = barred[ARCS][3 + 2 * label] = 0.f;
            if (allowed[LABELS + label]) barred[LAST_ARC][3 + 2 * label] = 0.f;
        }
    }
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
    alignas(64) float hidden[HIDDEN], score[WIDTH];

    Parser(const Weights& weights, const Sentence& sentence)
        : weights(weights), sentence(sentence), stack{0}, left(sentence.nothing + 1, sentence.nothing),
          right(left), left_before(left), right_before(left) {
        for (int word = sentence.length; word > 0; word--) buffer.push_back(word);
    }

    int top(const std::vector<int>& words, size_t k) const {
        return k < words.size() ? words[words.size() - 1 - k] : sentence.nothing;
    }

    void read_state() {
        const int first = top(stack, 0), second = top(stack, 1);
        const int word[18] = {
            first, second, top(stack, 2), top(buffer, 0),
#if PLACES == 18
            top(buffer, 1), top(buffer, 2),
#endif
            left[first], left[second], right[first], right[second],
            left_before[first], left_before[second], right_before[first], right_before[second],
            left[left[first]], left[left[second]], right[right[first]], right[right[second]]};
        const float* row[PLACES + CHILDREN];
        for (int place = 0; place < PLACES; place++)
            row[place] = sentence.words + ((long)word[place] * PLACES + place) * HIDDEN;
        for (int place = 0; place < CHILDREN; place++)
            row[PLACES + place] =
                weights.labels + (sentence.labels[word[PLACES - CHILDREN + place]] * CHILDREN + place) * HIDDEN;
        int unit = 0;
        for (; unit + LANES <= HIDDEN; unit += LANES) {
            vec sum = {};
            for (const float* of : row) sum += load(of + unit);
            store(hidden + unit, sum > 0.f ? sum : vec{});
        }
        for (; unit < HIDDEN; unit++) {
            float sum = 0;
            for (const float* of : row) sum += of[unit];
            hidden[unit] = std::max(sum, 0.f);
        }
    }

    // Scores all classes, bars what is not legal, and returns the best.
    int best_class() {
        vec sum[WIDTH / LANES];
        for (int c = 0; c < WIDTH / LANES; c++) sum[c] = load(weights.bias + LANES * c);
        for (int unit = 0; unit < HIDDEN; unit++) {
            const vec x = hidden[unit] - vec{};
            const float* row = weights.out + (long)unit * WIDTH;
            for (int c = 0; c < WIDTH / LANES; c++) sum[c] += x * load(row + LANES * c);
        }
        const bool two_words = stack.size() >= 3, last = stack.size() == 2 && buffer.empty();
        const float* barred = weights.barred[two_words ? ARCS : last ? LAST_ARC : NO_ARC];
        for (int c = 0; c < WIDTH / LANES; c++) store(score + LANES * c, sum[c] + load(barred + LANES * c));
        if (buffer.empty()) score[SHIFT_] = NEVER;
        if (!SWAP || !two_words || top(stack, 1) >= top(stack, 0)) score[SWAP_] = NEVER;
        vec most = load(score);
        for (int c = 1; c < WIDTH / LANES; c++) {
            const vec x = load(score + LANES * c);
            most = x > most ? x : most;
        }
        float best = most[0];
        for (int lane = 1; lane < LANES; lane++) best = std::max(best, most[lane]);
        const int chosen = std::find(score, score + CLASSES, best) - score;
        if (chosen < CLASSES) return chosen;  // else the scores are no numbers, and anything legal will do
        return buffer.empty() ? 2 + (std::find(barred + 2, barred + CLASSES, 0.f) - (barred + 2)) : SHIFT_;
    }

    void attach(int head, int child, int chosen, std::vector<int>& children, std::vector<int>& before) {
        sentence.heads[child] = head;
        sentence.labels[child] = (chosen - 2) / 2 + 1;
        before[head] = children[head];
        children[head] = child;
        vec sums = {};
        for (int c = 0; c < WIDTH; c += LANES) sums += exp(load(score + c) - score[chosen]);
        float sum = 0;
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        sentence.scores[child] = -std::log(sum);
    }

    void step() {
        read_state();
        const int chosen = best_class();
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
    const Weights weights(words, labels, out, bias, allowed);
    run_parts(batch, threads, [&](long b) {
        const Sentence sentence{words + b * width * PLACES * HIDDEN, (int)lengths[b],   (int)width - 1,
                                heads + b * width,                   found + b * width, scores + b * width};
        Parser(weights, sentence).run();
    });
}
