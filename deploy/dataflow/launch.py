"""What Dataflow's launcher runs: the job of this image, with the parameters of the template as its flags."""

import os
import sys

from pipelines.cli import main
from pipelines.dataflow_template import launcher_arguments

if __name__ == '__main__':
  sys.exit(main(launcher_arguments(os.environ['RADBEAM_JOB'], sys.argv[1:])))
