/* fcgi/probe/probe.h: the handlers of certctl-probe. 05 section 4.1 fixes their answers. */
#ifndef CERTCTL_FCGI_PROBE_PROBE_H
#define CERTCTL_FCGI_PROBE_PROBE_H

#include "web/route.h"

/* GET /ready: may this host be sent work? */
route_handler show_ready;
/* GET /api/v1/version: what was built from what. */
route_handler show_version;

#endif
