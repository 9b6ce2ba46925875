from lightning_nlp.data.dictionary import learn_dictionary, look_up


def test_words_that_keep_company_translate_each_other():
    sources = ["the dog", "the cat", "a dog", "a cat sleeps"]
    targets = ["le chien", "le chat", "un chien", "un chat dort"]
    dictionary = learn_dictionary(sources, targets)
    assert dictionary == {"the": "le", "a": "un", "dog": "chien", "cat": "chat", "sleeps": "dort"}
    assert look_up(["a dog sleeps here"], dictionary) == ["un chien dort here"]
