/* signer/pkcs11_token.c: module, session and login of the one token. 04 section 4.3. */
#include "signer/pkcs11_token.h"

#include <openssl/crypto.h>

#include "core/auto.h"
#include "core/clock.h"
#include "core/memory.h"
#include "core/text.h"
#include "signer/safe_file.h"

#include "core/banned.h"

#define SLOTS_MAX 64
#define PIN_MAX   256
/* Whoever asks for keys that are not there costs a login now and then, not each time. */
#define REOPEN_AFTER_S 2

/* One thread, one module, one session: the state of the process. */
static struct {
    CK_FUNCTION_LIST *module; /* NULL: not loaded */
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session; /* CK_INVALID_HANDLE: none */
    CK_TOKEN_INFO info;
    uint64_t generation;
    int64_t opened_s;
    bool pin_refused; /* and with which file: tokens count wrong PINs */
    struct file_stamp pin_stamp;
} token;

bool token_refused(struct fault *fault, const char *what, CK_RV word)
{
    fault_set(fault, SIGNER_KEY, "key_ref", "the PKCS#11 token: %s", what);
    return fault_cause(fault, "%s (0x%lx)", p11_kit_strerror(word), word);
}

uint64_t token_generation(void)
{
    return token.generation;
}

bool token_is_old(void)
{
    return token.module && clock_now_s() - token.opened_s >= REOPEN_AFTER_S;
}

void token_close(void)
{
    if (!token.module)
        return;
    if (token.session != CK_INVALID_HANDLE)
        (void)token.module->C_CloseSession(token.session);
    (void)p11_kit_module_finalize(token.module);
    p11_kit_module_release(token.module);
    token.module = NULL;
    token.session = CK_INVALID_HANDLE;
    token.generation++;
}

/* Unmanaged: p11-kit's wrappers are for programs that share a module or fork. */
static bool load_module(const char *path, struct fault *fault)
{
    CK_FUNCTION_LIST *module = p11_kit_module_load(path, P11_KIT_MODULE_UNMANAGED);

    if (!module) {
        const char *why = p11_kit_message();
        fault_set(fault, SIGNER_KEY, "key_ref", "the PKCS#11 module %s cannot be loaded", path);
        return fault_cause(fault, "%s", why ? why : "p11_kit_module_load");
    }
    const CK_RV word = p11_kit_module_initialize(module);
    if (word != CKR_OK) {
        p11_kit_module_release(module);
        return token_refused(fault, "its module cannot be initialised", word);
    }
    token.module = module;
    return true;
}

/* PKCS#11 pads texts with spaces. */
static bool label_is(const CK_TOKEN_INFO *info, const char *label)
{
    const size_t length = p11_kit_space_strlen(info->label, sizeof info->label);

    return length == strlen(label) && memcmp(info->label, label, length) == 0;
}

/* Two tokens of one label would make it chance which one signs. */
static bool find_slot(const char *label, struct fault *fault)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    size_t found = 0;
    const CK_RV word = token.module->C_GetSlotList(CK_TRUE, slots, &count);

    if (word != CKR_OK)
        return token_refused(fault, "its slots cannot be listed", word);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        if (token.module->C_GetTokenInfo(slots[i], &info) != CKR_OK || !label_is(&info, label))
            continue;
        token.slot = slots[i];
        token.info = info;
        found++;
    }
    if (found == 1)
        return true;
    AUTO(TALLOC_CTX) *scratch = talloc_new(NULL);
    return fault_set(fault, SIGNER_KEY, "key_ref", "%zu PKCS#11 tokens are labelled %s", found,
                     text_quote(scratch, label));
}

/* Of the secure heap, its final line feed gone; given back by pin_free. */
static char *read_pin(const char *path, struct file_stamp *ret_stamp, struct fault *fault)
{
    size_t size = 0;
    char *pin = OPENSSL_secure_zalloc(PIN_MAX + 1);

    if (!pin)
        return fault_set(fault, SIGNER_KEY, "key_ref", "the secure heap is full");
    if (!safe_file_read("PIN file", path, ret_stamp, (uint8_t *)pin, PIN_MAX, &size, fault)) {
        OPENSSL_secure_clear_free(pin, PIN_MAX + 1);
        return NULL;
    }
    pin[strcspn(pin, "\r\n")] = '\0';
    return pin;
}

static bool may_try(const struct file_stamp *stamp, struct fault *fault)
{
    if (token.pin_refused && file_stamp_equal(&token.pin_stamp, stamp))
        return fault_set(fault, SIGNER_KEY, "key_ref",
                         "the PKCS#11 token refused this PIN; it waits for a new PIN file");
    if (token.info.flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED))
        return fault_set(fault, SIGNER_KEY, "key_ref",
                         "the PKCS#11 token is locked or one wrong PIN from it: log in by hand");
    return true;
}

static bool log_in(const char *pin_file, struct fault *fault)
{
    struct file_stamp stamp;
    char *pin = read_pin(pin_file, &stamp, fault);

    if (!pin)
        return false;
    CK_RV word = CKR_CANCEL;
    const bool tried = may_try(&stamp, fault);
    if (tried)
        word = token.module->C_Login(token.session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin));
    OPENSSL_secure_clear_free(pin, PIN_MAX + 1);
    if (word == CKR_OK || word == CKR_USER_ALREADY_LOGGED_IN)
        return true;
    if (!tried)
        return false;
    token.pin_refused = word == CKR_PIN_INCORRECT || word == CKR_PIN_LOCKED;
    token.pin_stamp = stamp;
    return token_refused(fault, "the login was refused", word);
}

static bool settings_are_there(const struct settings *settings, struct fault *fault)
{
    return (settings->pkcs11_module && settings->pkcs11_token && settings->pkcs11_pin_file) ||
           fault_set(fault, SIGNER_KEY, "key_ref",
                     "this host has no PKCS#11 token: CERTCTL_PKCS11_MODULE, CERTCTL_PKCS11_TOKEN "
                     "and CERTCTL_PKCS11_PIN_FILE are not all set");
}

static bool begin(const struct settings *settings, struct fault *fault)
{
    if (!load_module(settings->pkcs11_module, fault) || !find_slot(settings->pkcs11_token, fault))
        return false;
    const CK_RV word = token.module->C_OpenSession(token.slot, CKF_SERIAL_SESSION, NULL, NULL,
                                                   &token.session);
    if (word != CKR_OK) {
        token.session = CK_INVALID_HANDLE;
        return token_refused(fault, "no session can be opened", word);
    }
    return log_in(settings->pkcs11_pin_file, fault);
}

bool token_open(const struct settings *settings, struct fault *fault)
{
    if (token.module)
        return true;
    if (!settings_are_there(settings, fault))
        return false;
    token.opened_s = clock_now_s();
    if (begin(settings, fault))
        return true;
    token_close();
    return false;
}

bool token_matches(const P11KitUri *uri)
{
    return p11_kit_uri_match_token_info(uri, &token.info) == 1;
}

bool token_find(CK_ATTRIBUTE *wanted, CK_ULONG wanted_count, CK_OBJECT_HANDLE *ret_objects,
                CK_ULONG most_objects, CK_ULONG *ret_count, struct fault *fault)
{
    CK_RV word = token.module->C_FindObjectsInit(token.session, wanted, wanted_count);

    *ret_count = 0;
    if (word != CKR_OK)
        return token_refused(fault, "objects cannot be looked for", word);
    while (word == CKR_OK && *ret_count < most_objects) {
        CK_ULONG more = 0;
        word = token.module->C_FindObjects(token.session, ret_objects + *ret_count,
                                           most_objects - *ret_count, &more);
        if (more == 0)
            break;
        *ret_count += more;
    }
    (void)token.module->C_FindObjectsFinal(token.session);
    return word == CKR_OK || token_refused(fault, "objects cannot be looked for", word);
}

bool token_attribute(TALLOC_CTX *ctx, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                     struct bytes *ret, struct fault *fault)
{
    CK_ATTRIBUTE asked = {type, NULL, 0};
    CK_RV word = token.module->C_GetAttributeValue(token.session, object, &asked, 1);

    *ret = (struct bytes){0};
    if (word == CKR_ATTRIBUTE_TYPE_INVALID || word == CKR_ATTRIBUTE_SENSITIVE ||
        asked.ulValueLen == CK_UNAVAILABLE_INFORMATION)
        return true;
    if (word != CKR_OK)
        return token_refused(fault, "an attribute of a key cannot be read", word);
    uint8_t *value = mem_array(ctx, uint8_t, asked.ulValueLen + 1);
    asked.pValue = value;
    word = token.module->C_GetAttributeValue(token.session, object, &asked, 1);
    if (word != CKR_OK)
        return token_refused(fault, "an attribute of a key cannot be read", word);
    *ret = (struct bytes){value, asked.ulValueLen};
    return true;
}

/* The functions of the module take everything without const and change none of it. */
static uint8_t *without_const(const uint8_t *data)
{
    union {
        const uint8_t *given;
        uint8_t *taken;
    } same = {.given = data};

    return same.taken;
}

CK_RV token_sign(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type, struct bytes input, uint8_t *into,
                 size_t *size)
{
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ULONG length = *size;

    if (!token.module)
        return CKR_SESSION_HANDLE_INVALID;
    CK_RV word = token.module->C_SignInit(token.session, &mechanism, key);
    if (word == CKR_OK)
        word = token.module->C_Sign(token.session, without_const(input.data), input.size, into,
                                    &length);
    *size = length;
    return word;
}

bool token_went_away(CK_RV word)
{
    static const CK_RV words[] = {
        CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED,     CKR_DEVICE_REMOVED,
        CKR_DEVICE_ERROR,           CKR_TOKEN_NOT_PRESENT,  CKR_TOKEN_NOT_RECOGNIZED,
        CKR_USER_NOT_LOGGED_IN,     CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID,
        CKR_SLOT_ID_INVALID,        CKR_GENERAL_ERROR,      CKR_CRYPTOKI_NOT_INITIALIZED,
        CKR_OPERATION_ACTIVE,
    };

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (words[i] == word)
            return true;
    return false;
}

static bool open_for_writing(CK_SESSION_HANDLE *ret_session, struct fault *fault)
{
    const CK_RV word = token.module->C_OpenSession(token.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION,
                                                   NULL, NULL, ret_session);

    return word == CKR_OK || token_refused(fault, "no session for writing can be opened", word);
}

bool token_generate(CK_MECHANISM_TYPE type, CK_ATTRIBUTE *public_half, CK_ULONG public_count,
                    CK_ATTRIBUTE *private_half, CK_ULONG private_count, struct fault *fault)
{
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE public_key;
    CK_OBJECT_HANDLE private_key;

    if (!open_for_writing(&session, fault))
        return false;
    const CK_RV word = token.module->C_GenerateKeyPair(session, &mechanism, public_half,
                                                       public_count, private_half, private_count,
                                                       &public_key, &private_key);
    (void)token.module->C_CloseSession(session);
    return word == CKR_OK || token_refused(fault, "no key could be made", word);
}

bool token_destroy(const CK_OBJECT_HANDLE *objects, size_t count, struct fault *fault)
{
    CK_SESSION_HANDLE session;
    CK_RV word = CKR_OK;

    if (!open_for_writing(&session, fault))
        return false;
    for (size_t i = 0; i < count && word == CKR_OK; i++)
        word = token.module->C_DestroyObject(session, objects[i]);
    (void)token.module->C_CloseSession(session);
    return word == CKR_OK || token_refused(fault, "the key cannot be destroyed", word);
}
