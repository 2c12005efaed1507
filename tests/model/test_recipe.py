import dataclasses
import json

from model.recipe import Recipe, differences


def test_a_recipe_goes_through_json_and_back() -> None:
  recipe = Recipe(steps=600, augment='strong', augment_without=('mirror', 'boxes'), input_size=160)
  facts = json.loads(json.dumps(recipe.to_facts()))
  assert set(facts) == {field.name for field in dataclasses.fields(Recipe)}
  assert Recipe(**facts | {'augment_without': tuple(facts['augment_without'])}) == recipe


def test_a_recipe_names_no_path_of_the_machine() -> None:
  assert Recipe(initial_weights='/home/somebody/weights.pth').to_facts()['initial_weights'] == 'file'
  assert Recipe(initial_weights='imagenet').to_facts()['initial_weights'] == 'imagenet'


def test_differences_are_those_entries_that_are_not_the_same() -> None:
  one, other = Recipe(), Recipe(learning_rate=3e-4, augment='strong')
  assert differences(one.to_facts(), other.to_facts()) == {
    'augment': ('light', 'strong'),
    'learning_rate': (1e-3, 3e-4),
  }
  assert differences({'a': 1}, {'b': 2}) == {'a': (1, None), 'b': (None, 2)}


def test_parts_that_are_left_out_are_off() -> None:
  augmentation = Recipe(augment='strong', augment_without=('mirror', 'boxes')).augmentation()
  assert (augmentation.mirror, augmentation.boxes) == (False, 0)
  assert augmentation.noise > 0
