import pytest

from tests.transforms import pictures
from transforms.dicom import header_facts, read_dicom
from transforms.elements import Limits


@pytest.mark.parametrize(
  ('elements', 'scanner'),
  [
    ({}, None),
    ({'Manufacturer': ' ', 'StationName': ''}, None),
    ({'Manufacturer': 'Philips ', 'ManufacturerModelName': 'DigitalDiagnost'}, ('philips', 'digitaldiagnost', '', '')),
    ({'Manufacturer': 'PHILIPS', 'StationName': 'ROOM  3'}, ('philips', '', '', 'room 3')),
    ({'DeviceSerialNumber': '0017', 'StationName': 'ROOM 3'}, ('', '', '0017', '')),
    ({'DeviceSerialNumber': '0017', 'StationName': 'ROOM 4'}, ('', '', '0017', '')),
  ],
)
def test_a_scanner_is_told_by_its_serial_number_or_else_by_its_station(
  elements: dict[str, str], scanner: tuple[str, ...] | None
) -> None:
  dataset = pictures.dicom_dataset(pictures.gradient(), **elements)
  assert header_facts(read_dicom(pictures.dicom_file(dataset), Limits())).scanner == scanner
