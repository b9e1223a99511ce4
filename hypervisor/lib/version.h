/* Who we are, in the boot log and in XENVER_extraversion. */
#pragma once
#define XL_VERSION "0.1"
