/* lib/net/fetch.c: libcurl's multi interface behind bounds of ours (06 section 16.1, 01 section
 * 11.4). */
#include "net/fetch.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"

#include "core/banned.h"

#define HEADER_BYTES_MAX 65536
#define STATUS_OK        200

struct fetcher {
    CURLM *multi;
    const struct guard *guard;
    struct fetch *first;
};

struct fetch {
    struct fetcher *fetcher;
    struct fetch *next;
    fetch_done *done;
    void *context;
    CURL *easy;
    CURLSH *pinned; /* the lookups of this request alone */
    struct curl_slist *resolve;
    struct curl_slist *headers;
    struct net_address *addresses;
    size_t address_count;
    unsigned port;
    int64_t headers_until_us;
    size_t header_bytes;
    uint8_t *body;
    size_t body_max;
    size_t body_used;
    bool added;
    bool over;
    bool headers_whole;
    bool headers_late;
    bool headers_large;
    bool body_large;
    bool refused;       /* by the guard, at the socket */
    const char *alpn;   /* offered: the handshake is all there is */
    bool shaking;       /* TCP stands */
    const char *agreed; /* of the protocols */
    struct bytes leaf;
    CURLcode code;
    char error[CURL_ERROR_SIZE];
};

#define SET(fetch, option, value) (curl_easy_setopt((fetch)->easy, (option), (value)) == CURLE_OK)

static int fetcher_close(struct fetcher *fetcher)
{
    while (fetcher->first)
        talloc_free(fetcher->first);
    (void)curl_multi_cleanup(fetcher->multi);
    curl_global_cleanup();
    return 0;
}

struct fetcher *fetcher_new(TALLOC_CTX *ctx, const struct guard *guard, struct fault *fault)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fault_set(fault, INTERNAL, NULL, "the HTTP client cannot be set up");
    struct fetcher *fetcher = mem_new(ctx, struct fetcher);
    fetcher->guard = guard;
    fetcher->multi = curl_multi_init();
    if (!fetcher->multi)
        mem_exhausted(sizeof(void *), "CURLM");
    talloc_set_destructor(fetcher, fetcher_close);
    return fetcher;
}

static void fetch_unlink(struct fetch *fetch)
{
    struct fetch **at = &fetch->fetcher->first;

    while (*at && *at != fetch)
        at = &(*at)->next;
    if (*at)
        *at = fetch->next;
    fetch->next = NULL;
}

static int fetch_close(struct fetch *fetch)
{
    fetch_unlink(fetch);
    if (fetch->added)
        (void)curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    curl_easy_cleanup(fetch->easy);
    (void)curl_share_cleanup(fetch->pinned);
    curl_slist_free_all(fetch->resolve);
    curl_slist_free_all(fetch->headers);
    return 0;
}

/* RFC 9110 section 15.2: interim answers come before the one that counts. */
static bool status_is_final(const struct fetch *fetch)
{
    long status = 0;

    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200;
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    struct fetch *fetch = context;

    (void)one; /* always 1 */
    fetch->header_bytes += size;
    fetch->headers_large = fetch->header_bytes > HEADER_BYTES_MAX;
    if (fetch->headers_large)
        return 0;
    if (size <= 2 && (data[0] == '\r' || data[0] == '\n') && status_is_final(fetch))
        fetch->headers_whole = true;
    return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct fetch *fetch = context;

    (void)one; /* always 1 */
    if (size > fetch->body_max - fetch->body_used) {
        fetch->body_large = true;
        return 0;
    }
    memcpy(fetch->body + fetch->body_used, data, size);
    fetch->body_used += size;
    return size;
}

static bool wanted_address(const struct fetch *fetch, const struct net_address *address)
{
    for (size_t i = 0; i < fetch->address_count; i++)
        if (net_address_equal(&fetch->addresses[i], address))
            return guard_allows(fetch->fetcher->guard, address);
    return false;
}

/* The last look before connect(2): whatever libcurl came up with, nothing else is dialled. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *peer)
{
    struct fetch *fetch = context;
    struct net_address address;

    if (purpose != CURLSOCKTYPE_IPCXN || !net_address_from_socket(&peer->addr, &address) ||
        !wanted_address(fetch, &address)) {
        fetch->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
}

static void slist_add(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);

    if (!longer)
        mem_exhausted(strlen(text), "curl_slist");
    *list = longer;
}

/* HOST:PORT:ADDRESS,ADDRESS: the only lookup there is. */
static void pin(struct fetch *fetch, const struct fetch_wish *wish)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    char *line = mem_printf(scratch, "%s:%u:", wish->host, wish->port);

    for (size_t i = 0; i < wish->address_count; i++) {
        const struct net_address *address = &wish->addresses[i];

        line = mem_append(line, address->v6 ? "%s[%s]" : "%s%s", i > 0 ? "," : "",
                          net_address_to_text(scratch, address));
    }
    slist_add(&fetch->resolve, line);
}

/* What holds for every request of certctl. */
static bool set_always(struct fetch *fetch)
{
    return SET(fetch, CURLOPT_PROTOCOLS_STR, "http,https") &&
           SET(fetch, CURLOPT_FOLLOWLOCATION, 0L) && SET(fetch, CURLOPT_PROXY, "") &&
           SET(fetch, CURLOPT_NOSIGNAL, 1L) && SET(fetch, CURLOPT_PATH_AS_IS, 1L) &&
           /* an enum by its header */
           SET(fetch, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           SET(fetch, CURLOPT_FRESH_CONNECT, 1L) && SET(fetch, CURLOPT_FORBID_REUSE, 1L) &&
           SET(fetch, CURLOPT_SHARE, fetch->pinned) && SET(fetch, CURLOPT_BUFFERSIZE, 16384L);
}

static bool set_calls(struct fetch *fetch)
{
    return SET(fetch, CURLOPT_OPENSOCKETFUNCTION, on_socket) &&
           SET(fetch, CURLOPT_OPENSOCKETDATA, fetch) &&
           SET(fetch, CURLOPT_HEADERFUNCTION, on_header) && SET(fetch, CURLOPT_HEADERDATA, fetch) &&
           SET(fetch, CURLOPT_WRITEFUNCTION, on_body) && SET(fetch, CURLOPT_WRITEDATA, fetch) &&
           SET(fetch, CURLOPT_ERRORBUFFER, fetch->error) && SET(fetch, CURLOPT_PRIVATE, fetch);
}

/* The one moment at which both are known and the connection still stands. */
static void on_handshake(const SSL *ssl, int where, int value)
{
    struct fetch *fetch = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const unsigned char *agreed = NULL;
    unsigned length = 0;
    const X509 *leaf = SSL_get0_peer_certificate(ssl);

    (void)value;
    fetch->shaking = true;
    if (!(where & SSL_CB_HANDSHAKE_DONE))
        return;
    SSL_get0_alpn_selected(ssl, &agreed, &length);
    if (length > 0)
        fetch->agreed = mem_text_n(fetch, (const char *)agreed, length);
    AUTO_OPENSSL(uint8_t) *der = NULL;
    const int size = leaf ? i2d_X509(leaf, &der) : 0;
    if (size > 0)
        fetch->leaf = bytes_copy(fetch, (struct bytes){der, (size_t)size}); /* above 0 */
}

static CURLcode on_tls_context(CURL *easy, void *made, void *context)
{
    SSL_CTX *tls = made;
    struct fetch *fetch = context;
    uint8_t protocols[256];
    const size_t length = strlen(fetch->alpn);

    (void)easy;
    if (length >= sizeof(protocols))
        return CURLE_SSL_CONNECT_ERROR;
    protocols[0] = (uint8_t)length; /* 255 at most */
    memcpy(protocols + 1, fetch->alpn, length);
    if (SSL_CTX_set_alpn_protos(tls, protocols, (unsigned)length + 1) != 0)
        return CURLE_SSL_CONNECT_ERROR;
    SSL_CTX_set_app_data(tls, fetch);
    SSL_CTX_set_info_callback(tls, on_handshake);
    return CURLE_OK;
}

/* Ends with the handshake; what libcurl would offer for HTTP is left out. */
static bool set_handshake(struct fetch *fetch)
{
    return SET(fetch, CURLOPT_CONNECT_ONLY, 1L) && SET(fetch, CURLOPT_SSL_ENABLE_ALPN, 0L) &&
           SET(fetch, CURLOPT_SSL_SESSIONID_CACHE, 0L) &&
           /* an enum by its header */
           SET(fetch, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           SET(fetch, CURLOPT_SSL_CTX_FUNCTION, on_tls_context) &&
           SET(fetch, CURLOPT_SSL_CTX_DATA, fetch);
}

static bool set_wish(struct fetch *fetch, const struct fetch_wish *wish)
{
    const int64_t left_ms = (wish->deadline_us - clock_monotonic_us()) / 1000;
    const long whole_ms = (long)most(left_ms, INT64_C(1)); /* 64 bits here */

    pin(fetch, wish);
    slist_add(&fetch->headers, "Connection: close");
    /* RFC 8555 section 8.3: certificates behind a redirect prove nothing and need not hold. */
    return SET(fetch, CURLOPT_URL, wish->url) && SET(fetch, CURLOPT_RESOLVE, fetch->resolve) &&
           SET(fetch, CURLOPT_HTTPHEADER, fetch->headers) &&
           SET(fetch, CURLOPT_USERAGENT, wish->user_agent) &&
           SET(fetch, CURLOPT_TIMEOUT_MS, whole_ms) &&
           SET(fetch, CURLOPT_CONNECTTIMEOUT_MS, least(whole_ms, (long)wish->connect_ms)) &&
           SET(fetch, CURLOPT_SSL_VERIFYPEER, 0L) && SET(fetch, CURLOPT_SSL_VERIFYHOST, 0L);
}

static void fetch_fill(struct fetch *fetch, const struct fetch_wish *wish)
{
    fetch->easy = curl_easy_init();
    fetch->pinned = curl_share_init();
    if (!fetch->easy || !fetch->pinned)
        mem_exhausted(sizeof(void *), "CURL");
    /* Else the requests of one multi handle would share, and change, each other's addresses. */
    (void)curl_share_setopt(fetch->pinned, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    fetch->addresses = mem_copy(fetch, wish->addresses,
                                wish->address_count * sizeof(wish->addresses[0]));
    fetch->address_count = wish->address_count;
    fetch->port = wish->port;
    fetch->alpn = mem_text(fetch, wish->alpn);
    fetch->headers_until_us = clock_monotonic_us() + wish->headers_ms * 1000;
    fetch->body_max = wish->body_max;
    fetch->body = mem_array(fetch, uint8_t, wish->body_max + 1);
}

struct fetch *fetch_start(TALLOC_CTX *ctx, struct fetcher *fetcher, const struct fetch_wish *wish,
                          fetch_done *done, void *context, struct fault *fault)
{
    struct fetch *fetch = mem_new(ctx, struct fetch);

    fetch->fetcher = fetcher;
    fetch->done = done;
    fetch->context = context;
    fetch_fill(fetch, wish);
    talloc_set_destructor(fetch, fetch_close);
    /* An option that libcurl does not know would lift a bound in silence. */
    if (!set_always(fetch) || !set_calls(fetch) || !set_wish(fetch, wish) ||
        (fetch->alpn && !set_handshake(fetch))) {
        talloc_free(fetch);
        return fault_set(fault, INTERNAL, NULL, "the HTTP client cannot be set up");
    }
    if (curl_multi_add_handle(fetcher->multi, fetch->easy) != CURLM_OK) {
        talloc_free(fetch);
        return fault_set(fault, INTERNAL, NULL, "the HTTP client takes no more requests");
    }
    fetch->added = true;
    fetch->next = fetcher->first;
    fetcher->first = fetch;
    return fetch;
}

static bool is_tls(CURLcode code)
{
    return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CIPHER ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM;
}

static bool is_no_http(CURLcode code)
{
    return code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL ||
           code == CURLE_BAD_CONTENT_ENCODING;
}

static bool was_connected(const struct fetch *fetch)
{
    curl_off_t connect_us = 0;

    (void)curl_easy_getinfo(fetch->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    return connect_us > 0 || fetch->shaking;
}

/* Why no answer that counts came. Names no address: nobody may probe our network by it. */
static void explain(const struct fetch *fetch, struct fault *fault)
{
    if (fetch->refused)
        fault_set(fault, NET_ADDRESS_REFUSED, NULL, "an address this server does not contact");
    else if (fetch->headers_large)
        fault_set(fault, NET_RESPONSE, NULL, "the answer's headers are larger than %d bytes",
                  HEADER_BYTES_MAX);
    else if (fetch->body_large)
        fault_set(fault, NET_RESPONSE, NULL, "the answer is larger than %zu bytes",
                  fetch->body_max);
    else if (fetch->headers_late)
        fault_set(fault, NET_CONNECTION, NULL, "the %s did not come in time",
                  fetch->alpn ? "end of the TLS handshake" : "answer's headers");
    else if (fetch->code == CURLE_OPERATION_TIMEDOUT && fetch->shaking)
        fault_set(fault, NET_CONNECTION, NULL, "the end of the TLS handshake did not come in time");
    else if (fetch->code == CURLE_OPERATION_TIMEDOUT && was_connected(fetch))
        fault_set(fault, NET_CONNECTION, NULL, "the answer did not come in time");
    else if (fetch->code == CURLE_OPERATION_TIMEDOUT || fetch->code == CURLE_COULDNT_CONNECT)
        fault_set(fault, NET_CONNECTION, NULL, "no connection to port %u", fetch->port);
    else if (is_tls(fetch->code))
        fault_set(fault, NET_TLS, NULL, "the TLS handshake failed");
    else if (is_no_http(fetch->code))
        fault_set(fault, NET_RESPONSE, NULL, "the answer is no HTTP/1.1");
    else
        fault_set(fault, NET_CONNECTION, NULL, "the connection broke before the answer was whole");
    fault_cause(fault, "libcurl: %s",
                fetch->error[0] ? fetch->error : curl_easy_strerror(fetch->code));
}

static const char *location_of(const struct fetch *fetch)
{
    struct curl_header *header = NULL;

    if (curl_easy_header(fetch->easy, "Location", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

static void deliver(struct fetch *fetch)
{
    struct fetch_result result = {.connected = was_connected(fetch)};
    const char *address = NULL;
    long status = 0;

    fetch_unlink(fetch);
    (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
    if (curl_easy_getinfo(fetch->easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK && address &&
        *address)
        result.address = address;
    if (fetch->alpn && fetch->code == CURLE_OK && !fetch->headers_late) {
        result.alpn = fetch->agreed;
        result.leaf = fetch->leaf;
    } else if (fetch->headers_whole && (fetch->code == CURLE_OK || status != STATUS_OK)) {
        result.status = (unsigned)status; /* 200 to 999 */
        result.location = location_of(fetch);
        result.body = (struct bytes){fetch->body, fetch->body_used};
    } else {
        explain(fetch, &result.fault);
    }
    (void)curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
    fetch->added = false;
    fetch->done(fetch->context, &result);
}

/* Marks what libcurl ended, and what we end: late headers, and bodies that nobody reads. */
static void mark_over(struct fetcher *fetcher)
{
    const int64_t now_us = clock_monotonic_us();
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(fetcher->multi, &left))) {
        struct fetch *fetch = NULL;

        if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch) != CURLE_OK || !fetch)
            continue;
        fetch->code = message->data.result;
        fetch->over = true;
    }
    for (struct fetch *fetch = fetcher->first; fetch; fetch = fetch->next) {
        long status = 0;

        (void)curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        fetch->headers_late = !fetch->over && !fetch->headers_whole &&
                              now_us >= fetch->headers_until_us;
        if (fetch->headers_late || (fetch->headers_whole && status != STATUS_OK))
            fetch->over = true;
    }
}

void fetcher_work(struct fetcher *fetcher)
{
    int running;

    (void)curl_multi_perform(fetcher->multi, &running);
    mark_over(fetcher);
    /* A call may start and end others, so the list is walked anew after each. */
    for (struct fetch *fetch = fetcher->first; fetch;) {
        if (!fetch->over) {
            fetch = fetch->next;
            continue;
        }
        deliver(fetch);
        fetch = fetcher->first;
    }
}

static int64_t until_first_deadline_ms(const struct fetcher *fetcher, int64_t timeout_ms)
{
    const int64_t now_us = clock_monotonic_us();

    for (const struct fetch *fetch = fetcher->first; fetch; fetch = fetch->next)
        if (!fetch->headers_whole)
            timeout_ms = least(timeout_ms, (fetch->headers_until_us - now_us) / 1000 + 1);
    return most(timeout_ms, INT64_C(0));
}

void fetcher_wait(struct fetcher *fetcher, const int *fds, size_t fd_count, int64_t timeout_ms)
{
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    struct curl_waitfd *waits = mem_array(scratch, struct curl_waitfd, fd_count);
    unsigned count = 0;

    for (size_t i = 0; i < fd_count; i++)
        if (fds[i] >= 0)
            waits[count++] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    /* Bounded by a minute: fits. */
    (void)curl_multi_poll(fetcher->multi, waits, count,
                          (int)least(until_first_deadline_ms(fetcher, timeout_ms), INT64_C(60000)),
                          NULL);
}
