/* tests/unit/resource/sample.h: a resource with one filter of each kind. */
#ifndef CERTCTL_TESTS_UNIT_RESOURCE_SAMPLE_H
#define CERTCTL_TESTS_UNIT_RESOURCE_SAMPLE_H

#include "resource/resource.h"

extern const struct resource sample;

#endif
