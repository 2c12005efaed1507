from collections import Counter

import pytest

from transforms.elements import HeaderFacts, Source
from transforms.splits import BUCKETS, PatientFrom, PatientRule, SplitSpec, bucket_of, fold_of, split_of

PATIENTS = [f'patient {number}' for number in range(4000)]


@pytest.mark.parametrize(('val', 'test'), [(0.1, 0.1), (0.25, 0.05), (0.0, 0.5), (0.0, 0.0)])
def test_each_split_gets_its_share_of_patients(val: float, test: float) -> None:
  splits = [split_of(patient, SplitSpec(val, test)) for patient in PATIENTS]
  assert splits.count('val') / len(PATIENTS) == pytest.approx(val, abs=0.02)
  assert splits.count('test') / len(PATIENTS) == pytest.approx(test, abs=0.02)


def test_the_split_of_a_patient_never_changes() -> None:
  found = {number: split for number in range(60) if (split := split_of(f'patient {number}', SplitSpec())) != 'train'}
  assert found == {12: 'val', 14: 'val', 19: 'test', 36: 'test', 40: 'test', 42: 'test', 47: 'val', 48: 'val'}


def test_another_salt_gives_another_split() -> None:
  assert [split_of(p, SplitSpec(salt='a')) for p in PATIENTS] != [split_of(p, SplitSpec(salt='b')) for p in PATIENTS]


def test_more_validation_takes_patients_from_training_only() -> None:
  less, more = SplitSpec(0.1, 0.1), SplitSpec(0.3, 0.1)
  moved = {(split_of(p, less), split_of(p, more)) for p in PATIENTS if split_of(p, less) != split_of(p, more)}
  assert moved == {('train', 'val')}


@pytest.mark.parametrize(('val', 'test'), [(-0.1, 0.2), (0.2, -0.1), (0.5, 0.5), (1.0, 0.0)])
def test_impossible_fractions_are_refused(val: float, test: float) -> None:
  with pytest.raises(ValueError, match='sum to less than 1'):
    SplitSpec(val, test)


@pytest.mark.parametrize(('val', 'test', 'needs'), [(0.0, 0.0, False), (0.1, 0.0, True), (0.0, 0.1, True)])
def test_one_split_needs_no_patient(val: float, test: float, needs: bool) -> None:
  assert SplitSpec(val, test).needs_patient == needs


def test_the_bucket_of_a_patient_never_changes() -> None:
  assert [bucket_of(f'patient {number}', SplitSpec()) for number in range(8)] == [31, 44, 26, 8, 41, 50, 13, 10]
  assert bucket_of('patient 0', SplitSpec(0.3, 0.3)) == bucket_of('patient 0', SplitSpec(0, 0))
  assert bucket_of('patient 0', SplitSpec(salt='b')) != bucket_of('patient 0', SplitSpec(salt='a'))


def test_buckets_are_filled_alike_in_every_split() -> None:
  spec = SplitSpec(0.3, 0.3)
  counts = Counter((split_of(patient, spec), bucket_of(patient, spec)) for patient in PATIENTS)
  assert {bucket for _, bucket in counts} == set(range(BUCKETS))
  assert max(counts.values()) < 60  # 20 to 27 are expected


@pytest.mark.parametrize('folds', range(2, BUCKETS + 1))
def test_folds_are_made_of_whole_buckets_and_differ_by_one_at_most(folds: int) -> None:
  sizes = Counter(fold_of(bucket, folds) for bucket in range(BUCKETS))
  assert sorted(sizes) == list(range(1, folds + 1))
  assert max(sizes.values()) - min(sizes.values()) <= 1


SOURCE = Source('a.zip', 'site/p17/1.png', 1)
DICOM = HeaderFacts(patient_id='D')


@pytest.mark.parametrize(
  ('place', 'pattern', 'facts', 'csv', 'expected'),
  [
    ('auto', r'p(\d+)', DICOM, 'C', 'C'),
    ('auto', r'p(\d+)', DICOM, None, 'D'),
    ('auto', r'p(\d+)', HeaderFacts(), None, '17'),
    ('auto', '', HeaderFacts(), None, None),
    ('dicom', r'p(\d+)', HeaderFacts(), 'C', None),
    ('dicom', '', DICOM, 'C', 'D'),
    ('csv', r'p(\d+)', DICOM, None, None),
    ('csv', '', DICOM, 'C', 'C'),
    ('pattern', r'p\d+', DICOM, 'C', 'p17'),
    ('pattern', r'(\w+)/(?P<patient>p\d+)', DICOM, 'C', 'p17'),
    ('pattern', 'q', DICOM, 'C', None),
    ('member', '', DICOM, 'C', 'a.zip!/site/p17/1.png#1'),
  ],
)
def test_where_the_patient_is_found(
  place: PatientFrom, pattern: str, facts: HeaderFacts, csv: str | None, expected: str | None
) -> None:
  assert PatientRule(place, pattern).patient(SOURCE, facts, csv) == expected
