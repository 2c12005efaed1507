"""Closed vocabularies: free header text leaves the process as one of these words, or as `other`.

A vendor's technician can type a name into any text field; a closed list cannot
carry one.
"""

import re
from datetime import date
from typing import Final

OTHER: Final = 'other'
AGE_CAP_YEARS: Final = 90  # stands for 90 and above (HIPAA safe harbour, 45 CFR 164.514(b)(2))


def _words(text: str) -> frozenset[str]:
  return frozenset(text.split())


MODALITIES: Final = _words(  # PS3.3 C.7.3.1.1.1, with retired terms that archives hold
  """ANN AR ASMT AU BDUS BI BMD CD CF CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DR DS DX EC ECG EEG EMG EOG EPS ES
  FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS MA MG MR MS M3D NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV
  OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG
  SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA VF XA XAPROTOCOL XC"""
)

PHOTOMETRIC_INTERPRETATIONS: Final = _words(  # PS3.3 C.7.6.3.1.2
  'MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_422 YBR_PARTIAL_420 YBR_ICT YBR_RCT HSV ARGB CMYK XYB'
) | {'PALETTE COLOR'}

_VIEW_POSITIONS: Final = {  # PS3.3 C.8.11.5.1.1 and C.8.11.7.1.1, and what devices write for them
  **{term: term for term in _words('AP PA LL RL RLD LLD RLO LLO CC MLO ML LM LMO FB SIO XCC XCCL XCCM')},
  'LAT': 'LATERAL',
  'LATERAL': 'LATERAL',
  'LEFT LATERAL': 'LL',
  'RIGHT LATERAL': 'RL',
  'ANTEROPOSTERIOR': 'AP',
  'POSTEROANTERIOR': 'PA',
  'ANTERO-POSTERIOR': 'AP',
  'POSTERO-ANTERIOR': 'PA',
  'AP SUPINE': 'AP',
  'AP ERECT': 'AP',
  'PA ERECT': 'PA',
}

BODY_PARTS: Final = _words(  # PS3.16 Annex L, what is imaged often
  """ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS CALCANEUS CALF CAROTID
  CERVIX CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX COLON CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS
  EXTREMITY EYE FACE FEMUR FINGER FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS JAW KIDNEY KNEE
  LARYNX LEG LIVER LSPINE LSSPINE LUNG MAXILLA MEDIASTINUM NECK NECKCHEST NOSE ORBIT OVARY PANCREAS PAROTID PATELLA
  PELVIS PENIS PHARYNX PLACENTA PROSTATE RADIUS RADIUSULNA RECTUM RIB SACRUM SCALP SCAPULA SCROTUM SELLA SHOULDER SI
  SKULL SPINE SPLEEN SSPINE STERNUM STOMACH SUBMANDIBULAR TESTIS THIGH THORAX THUMB THYMUS THYROID TIBIA TIBIAFIBULA
  TLSPINE TMJ TOE TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA WHOLEBODY WRIST ZYGOMA"""
)

_BODY_PART_SYNONYMS: Final = {
  'ABD': 'ABDOMEN',
  'CERVICALSPINE': 'CSPINE',
  'CHST': 'CHEST',
  'LUMBARSPINE': 'LSPINE',
  'LUNGS': 'LUNG',
  'PORTCHEST': 'CHEST',
  'RIBS': 'RIB',
  'THORACICSPINE': 'TSPINE',
}

_MANUFACTURERS: Final = {  # a word of the name, lower case, to its short name
  'acuson': 'siemens',
  'agfa': 'agfa',
  'canon': 'canon',
  'carestream': 'carestream',
  'drtech': 'drtech',
  'esaote': 'esaote',
  'fuji': 'fujifilm',
  'fujifilm': 'fujifilm',
  'fujifim': 'fujifilm',
  'ge': 'ge',
  'gems': 'ge',
  'general electric': 'ge',
  'hitachi': 'hitachi',
  'hologic': 'hologic',
  'imaging dynamics': 'imaging-dynamics',
  'kodak': 'kodak',
  'konica': 'konica-minolta',
  'lodox': 'lodox',
  'lorad': 'hologic',
  'mindray': 'mindray',
  'oldelft': 'oldelft',
  'philips': 'philips',
  'picker': 'philips',
  'planmed': 'planmed',
  'rayence': 'rayence',
  'samsung': 'samsung',
  'shimadzu': 'shimadzu',
  'siemens': 'siemens',
  'swissray': 'swissray',
  'thales': 'thales',
  'toshiba': 'toshiba',
  'trixell': 'trixell',
  'vidar': 'vidar',
  'vieworks': 'vieworks',
}
_MANUFACTURER_WORD: Final = re.compile(
  rf'\b({"|".join(sorted(map(re.escape, _MANUFACTURERS), key=len, reverse=True))})\b'
)


def manufacturer(text: str | None) -> str | None:
  """(0008,0070): `GE MEDICAL SYSTEMS` → `ge`."""
  if not text:
    return None
  found = _MANUFACTURER_WORD.search(text.lower().replace('dr tech', 'drtech').replace('_', ' '))
  return _MANUFACTURERS[found[1]] if found else OTHER


def modality(text: str | None) -> str | None:
  """(0008,0060), a defined term."""
  return _term(text, MODALITIES)


def view_position(text: str | None) -> str | None:
  """(0018,5101): `AP`, `PA`, `LL`, `LATERAL` …"""
  return _VIEW_POSITIONS.get(text.upper(), OTHER) if text else None


def body_part(text: str | None) -> str | None:
  """(0018,0015), a defined term; `CHEST 2 VIEWS` is not read as one, `C-SPINE` and `C_SPINE` are."""
  if not text:
    return None
  term = re.sub(r'[\s_-]', '', text.upper())
  return _term(_BODY_PART_SYNONYMS.get(term, term), BODY_PARTS)


def photometric(text: str | None) -> str | None:
  """(0028,0004), a defined term."""
  return _term(text, PHOTOMETRIC_INTERPRETATIONS)


def sex(text: str | None) -> str | None:
  """(0010,0040): F, M or O; None for whatever else is there."""
  return text.upper() if text and text.upper() in {'F', 'M', 'O'} else None


def _term(text: str | None, terms: frozenset[str]) -> str | None:
  if not text:
    return None
  return text.upper() if text.upper() in terms else OTHER


def age_years(age: str | None, birth_date: str | None, study_date: str | None) -> int | None:
  """Age in whole years, 90 for all above 89.

  Args:
    age: (0010,1010), `nnnD`, `nnnW`, `nnnM` or `nnnY` (PS3.5 6.2, AS).
    birth_date: (0010,0030), YYYYMMDD; used where `age` is absent or unusable.
    study_date: (0008,0020), YYYYMMDD.
  """
  years = _years_of_age_string(age)
  if years is None:
    years = _years_between(birth_date, study_date)
  return None if years is None else min(years, AGE_CAP_YEARS)


def _years_of_age_string(age: str | None) -> int | None:
  found = re.fullmatch(r'([0-9]{1,3})([DWMY])', age or '')
  if not found:
    return None
  per_year = {'D': 365.25, 'W': 365.25 / 7, 'M': 12, 'Y': 1}[found[2]]
  return int(int(found[1]) / per_year)


def _years_between(birth_date: str | None, study_date: str | None) -> int | None:
  born, studied = parse_date(birth_date), parse_date(study_date)
  if not born or not studied or studied < born:
    return None
  return studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))


def parse_date(text: str | None) -> date | None:
  """A date as DICOM writes it, YYYYMMDD; None where it is absent or no date."""
  if not re.fullmatch(r'[0-9]{8}', text or ''):
    return None
  try:
    return date.fromisoformat(text or '')
  except ValueError:
    return None
