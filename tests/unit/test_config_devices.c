/* dom0-tools/config_disk.c, config_vif.c, config_channel.c: every form of a disk, a vif and a channel, and every mistake. */
#include <CUnit/Basic.h>

#include "config_reader.h"
#include "../../dom0-tools/json.h"

/* The first disk of "disk=[TEXT]", with quotes. */
static const struct config_disk *disk(const char *text)
{
    char line[2048];

    snprintf(line, sizeof(line), "disk=[\"%s\"]", text);
    GOOD(line);
    CU_ASSERT_EQUAL(config.nr_disks, 1);
    return config.disk;
}

static void bad_disk(const char *text, const char *what)
{
    char line[2048], wanted[512];

    snprintf(line, sizeof(line), "disk=[\"%s\"]", text);
    snprintf(wanted, sizeof(wanted), "error f:2: disk: %s\n", what);
    BAD(line, wanted);
}

static const struct config_vif *vif(const char *text)
{
    char line[2048];

    snprintf(line, sizeof(line), "vif=['%s']", text);
    GOOD(line);
    CU_ASSERT_EQUAL(config.nr_vifs, 1);
    return config.vif;
}

static void bad_vif(const char *text, const char *what)
{
    char line[2048], wanted[512];

    snprintf(line, sizeof(line), "vif=['%s']", text);
    snprintf(wanted, sizeof(wanted), "error f:2: vif: %s\n", what);
    BAD(line, wanted);
}

/* ---- disks ---- */

static void test_the_manuals_equal_disks_are_equal(void)
{
    static const char *const same[2][5] = {
        { "/dev/vg/guest-volume,,hda", "/dev/vg/guest-volume,raw,hda,rw",
          "format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume",
          "raw:/dev/vg/guest-volume,hda,w", "vg/guest-volume,,hda" },
        { "/root/image.iso,,hdc,cdrom", "/root/image.iso,,hdc,,cdrom",
          "/root/image.iso,raw,hdc,devtype=cdrom",
          "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso",
          "raw:/root/image.iso,hdc:cdrom,ro" },
    };

    for (unsigned int i = 0; i < 2; i++) {
        struct config_disk first = *disk(same[i][0]);

        CU_ASSERT_STRING_EQUAL(first.target, i ? "/root/image.iso" : "/dev/vg/guest-volume");
        CU_ASSERT_STRING_EQUAL(first.vdev, i ? "hdc" : "hda");
        CU_ASSERT_TRUE(first.read_only == (i == 1) && first.cdrom == (i == 1) && first.discard &&
                       first.trusted);
        CU_ASSERT_TRUE(repeats());
        for (unsigned int k = 1; k < 5; k++)
            CU_ASSERT_EQUAL(memcmp(&first, disk(same[i][k]), sizeof(first)), 0);
    }
}

static void test_all_parameters_of_a_disk(void)
{
    const struct config_disk *d =
        disk("format=qcow2,vdev=xvdb1,access=r,backend=storage,backendtype=qdisk,script=block-x,"
             "specification=xen,direct-io-safe,no-discard,untrusted,target= a,b=c\\\"\\\\ ");

    CU_ASSERT_EQUAL(d->format, CONFIG_QCOW2);
    CU_ASSERT_STRING_EQUAL(d->vdev, "xvdb1");
    CU_ASSERT_STRING_EQUAL(d->backend, "storage");
    CU_ASSERT_EQUAL(d->backend_type, CONFIG_BACKEND_QDISK);
    CU_ASSERT_STRING_EQUAL(d->script, "block-x");
    CU_ASSERT_STRING_EQUAL(d->target, " a,b=c\"\\ "); /* the script's affair: not below /dev */
    CU_ASSERT_TRUE(d->read_only && d->direct_io_safe && !d->discard && !d->trusted && !d->cdrom);
    CU_ASSERT_TRUE(repeats());
    d = disk(",,hdc,cdrom");
    CU_ASSERT_STRING_EQUAL(d->target, "");
    CU_ASSERT_TRUE(repeats());
    d = disk(",hdc:cdrom,r");
    CU_ASSERT_TRUE(d->cdrom && d->target[0] == '\0');
    d = disk(",,xvda,target=/with,commas");
    CU_ASSERT_STRING_EQUAL(d->target, "/with,commas");
    d = disk("/x,vhd,sdaa12,,trusted,discard,,");
    CU_ASSERT_TRUE(d->format == CONFIG_VHD && !d->read_only);
    CU_ASSERT_TRUE(repeats());
}

static void test_old_prefixes(void)
{
    const struct config_disk *d = disk("phy:/dev/vg/web,xvda,w");

    CU_ASSERT_STRING_EQUAL(d->target, "/dev/vg/web");
    d = disk("tap:aio:qcow2:/a:b,xvda,r");
    CU_ASSERT_STRING_EQUAL(d->target, "/a:b");
    CU_ASSERT_TRUE(d->format == CONFIG_QCOW2 && d->read_only);
    d = disk("file:disk.img,,d0p3");
    CU_ASSERT_STRING_EQUAL(d->target, "/dev/disk.img");
    d = disk("iscsi:iqn.2001-05:x,51712,w");
    CU_ASSERT_STRING_EQUAL(d->target, "iqn.2001-05:x");
    CU_ASSERT_STRING_EQUAL(d->script, "block-iscsi");
    CU_ASSERT_TRUE(repeats());
    d = disk("other:/x,,0xca00");
    CU_ASSERT_STRING_EQUAL(d->target, "/dev/other:/x");
    bad_disk("vhd:/x,raw,xvda", "'raw' is no virtual device");
    bad_disk("vhd:/x,format=raw,vdev=xvda", "'format' is given twice");
}

static void test_mistakes_in_disks(void)
{
    char line[1100];

    BAD("disk='/x,,xvda'", "error f:2: disk: '/x,,xvda' is no list\n");
    BAD("disk=[['/x']]", "error f:2: disk: a list is no value of this key\n");
    BAD("disk=['/x,,xvda',\n'/y,,xvda']", "error f:3: disk: 'xvda' is there twice\n");
    bad_disk("", "a disk has no vdev");
    bad_disk("/x", "a disk has no vdev");
    bad_disk("target=/dev/vda", "a disk has no vdev");
    bad_disk(
        "format=raw,target=/dev/vda,vdev=xvda",
        "'/dev/vda,vdev=xvda' is all target: target= takes the rest of the line, vdev= goes before it");
    bad_disk("/x,xvda,", "'xvda' is no format"); /* not the old form */
    bad_disk(",,xvda", "'xvda' has no target");
    bad_disk("/x,tar,xvda", "'tar' is no format");
    bad_disk("/x,,sda,x", "'x' is none of r, ro, w, rw");
    bad_disk("/x,,xvda,rw,more", "'more' is one parameter too many");
    bad_disk("/x,,xvda,vdev=xvdb", "'vdev' is given twice");
    bad_disk("/x,,xvda,target=/y", "'target' is given twice");
    bad_disk("/x,,xvda,cdrom,cdrom", "'cdrom' is given twice");
    bad_disk("/x,,xvda,size=5", "'size=5' is no parameter of a disk");
    bad_disk("/x,,xvda,cdrom=1", "'cdrom=1' is no parameter of a disk");
    bad_disk("/x,,xvda,devtype=tape", "'tape' is no type of a disk");
    bad_disk("/x,,xvda,backendtype=tap", "'tap' is no type of a backend here");
    bad_disk("/x,,xvda,specification=virtio", "'virtio' is not served: only xen is");
    bad_disk("/x,,xvda,colo-host=x", "'colo-host=x' is no parameter of a disk");
    for (unsigned int i = 0; i < 14; i++) {
        static const char *const vdevs[] = { "vda",
                                             "xvd",
                                             "xvdA",
                                             "xvdabcd",
                                             "xvda12345",
                                             "hd1",
                                             "d",
                                             "d0p",
                                             "d0q1",
                                             "sda:tape",
                                             "99999999999",
                                             "xvda1234567890123456",
                                             "xvda123456789012",
                                             "xvda12345678901" };
        char text[64], wanted[64];

        sprintf(text, "vdev=%s,target=/x", vdevs[i]);
        sprintf(wanted, "'%s' is no virtual device", vdevs[i]);
        bad_disk(text, wanted);
    }
    for (unsigned int n = 253; n < 258; n++) { /* what it grows by is counted, too */
        sprintf(line, "disk=['vdev=xvda,target=/%0*d']", (int)n, 0);
        CU_ASSERT_EQUAL(parse(line), n + 1 < CONFIG_PATH ? 0 : -EINVAL);
        sprintf(line, "disk=['vdev=xvda,target=%0*d']", (int)n - 4, 0);
        CU_ASSERT_EQUAL(parse(line), n + 1 < CONFIG_PATH ? 0 : -EINVAL);
    }
    sprintf(line, "disk=['%01024d']", 0);
    CU_ASSERT_EQUAL(parse(line), -EINVAL);
}

static void test_there_are_sixteen_disks_and_vifs(void)
{
    char text[1024];

    for (unsigned int n = 16; n <= 17; n++) {
        char *at = text + sprintf(text, "disk=[");

        for (unsigned int i = 0; i < n; i++)
            at += sprintf(at, "'/x,,xvd%c',", 'a' + (int)i);
        strcpy(at, "]");
        CU_ASSERT_EQUAL(parse(text), n == 16 ? 0 : -EINVAL);
        CU_ASSERT_STRING_EQUAL(reports,
                               n == 16 ? "" : "error f:2: disk: '/x,,xvdq' is one disk too many\n");
        at = text + sprintf(text, "vif=[");
        for (unsigned int i = 0; i < n; i++)
            at += sprintf(at, "'',");
        strcpy(at, "]");
        CU_ASSERT_EQUAL(parse(text), n == 16 ? 0 : -EINVAL);
        CU_ASSERT_STRING_EQUAL(reports, n == 16 ? "" : "error f:2: vif: '' is one vif too many\n");
        if (n == 16)
            CU_ASSERT_TRUE(config.vif[15].devid == 15 && repeats());
    }
}

/* ---- vifs ---- */

static void test_all_parameters_of_a_vif(void)
{
    static const uint8_t mac[6] = { 0, 0x16, 0x3e, 0x74, 0x3d, 0xff };
    const struct config_vif *v = vif("");

    CU_ASSERT_TRUE(!v->has_mac && v->trusted && v->rate_bytes == 0 && v->devid == 0 && v->mtu == 0);
    CU_ASSERT_TRUE(repeats());
    v = vif(
        "mac=00:16:3E:74:3d:Ff, bridge=xenbr0,gatewaydev=eth0,vifname=web0,script=vif-route,ip=10.0.0.1 "
        "10.0.0.2,backend=net,rate=10Mb/s@20ms,devid=7,mtu=9000,untrusted,type=ioemu,model=e1000");
    CU_ASSERT_TRUE(v->has_mac && memcmp(v->mac, mac, 6) == 0);
    CU_ASSERT_STRING_EQUAL(v->bridge, "xenbr0");
    CU_ASSERT_STRING_EQUAL(v->gateway, "eth0");
    CU_ASSERT_STRING_EQUAL(v->vifname, "web0");
    CU_ASSERT_STRING_EQUAL(v->script, "vif-route");
    CU_ASSERT_STRING_EQUAL(v->ip, "10.0.0.1 10.0.0.2");
    CU_ASSERT_STRING_EQUAL(v->backend, "net");
    CU_ASSERT_TRUE(v->rate_bytes == 1250000 && v->rate_interval_us == 20000);
    CU_ASSERT_TRUE(v->devid == 7 && v->mtu == 9000 && !v->trusted);
    CU_ASSERT_TRUE(repeats());
}

static void test_rates(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        uint32_t interval_us;
    } good[] = { { "10Mb/s", 1250000, 50000 },
                 { "250KB/s", 250000, 50000 },
                 { "1MB/s@20ms", 1000000, 20000 },
                 { "8b/s", 1, 50000 },
                 { "1GB/s@1s", 1000000000, 1000000 },
                 { "5B/s@7us", 5, 7 },
                 { "5B/s@7", 5, 7 },
                 { "1000000GB/s@4294s", 1000000000000000, 4294000000u } };
    static const char *const bad[] = { "",
                                       "10",
                                       "10M",
                                       "10Mb",
                                       "10Mb/",
                                       "Mb/s",
                                       "0Mb/s",
                                       "7b/s",
                                       "1TB/s",
                                       "-1MB/s",
                                       "10Mb/s@",
                                       "10Mb/s@ms",
                                       "10Mb/s@0ms",
                                       "1MB/s@1m",
                                       "1MB/s@1h",
                                       "1MB/sx",
                                       "1000001GB/s",
                                       "1B/s@4295s",
                                       "1B/s@99999999999999999999",
                                       "99999999999999999999B/s" };

    for (unsigned int i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[64];
        const struct config_vif *v;

        sprintf(text, "rate=%s", good[i].text);
        v = vif(text);
        CU_ASSERT_EQUAL(v->rate_bytes, good[i].bytes);
        CU_ASSERT_EQUAL(v->rate_interval_us, good[i].interval_us);
        CU_ASSERT_TRUE(repeats());
    }
    for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64], wanted[64];

        sprintf(text, "rate=%s", bad[i]);
        sprintf(wanted, "'%s' is no rate", bad[i]);
        bad_vif(text, wanted);
    }
}

static void test_mistakes_in_vifs(void)
{
    BAD("vif='bridge=x'", "error f:2: vif: 'bridge=x' is no list\n");
    BAD("vif=['devid=1', '']", "error f:2: vif: '' has the number of another vif\n");
    bad_vif("mac=00:16:3e:74:3d", "'00:16:3e:74:3d' is no MAC address");
    bad_vif("mac=00:16:3e:74:3d:0", "'00:16:3e:74:3d:0' is no MAC address");
    bad_vif("mac=00:16:3e:74:3d:000", "'00:16:3e:74:3d:000' is no MAC address");
    bad_vif("mac=00-16-3e-74-3d-00", "'00-16-3e-74-3d-00' is no MAC address");
    bad_vif("mac=", "'' is no MAC address");
    bad_vif("mac=01:00:00:00:00:00", "'01:00:00:00:00:00' is the MAC address of a group");
    bad_vif("mac=ff:ff:ff:ff:ff:ff", "'ff:ff:ff:ff:ff:ff' is the MAC address of a group");
    bad_vif("mac=00:00:00:00:00:00,bridge=x", "'00:00:00:00:00:00' is nobody's MAC address");
    vif("mac=00:00:00:00:00:01");
    bad_vif("bridge=0123456789012345678901234567890123456789",
            "'0123456789012345678901234567890123456789' is too long");
    bad_vif("bridge=01234567890123456789012345678901",
            "'01234567890123456789012345678901' is too long");
    vif("trusted,bridge=0123456789012345678901234567890");
    bad_vif("trusted,untrusted,trusted", "'trusted' is given twice");
    bad_vif("bridge=a,bridge=b", "'bridge' is given twice");
    bad_vif("mtu=67", "'67' is no MTU");
    bad_vif("mtu=65536", "'65536' is no MTU");
    bad_vif("devid=-1", "'-1' is no number of a device");
    bad_vif("accel=1", "'accel=1' is no parameter of a vif");
    bad_vif("bridge", "'bridge' is no parameter of a vif");
}

/* ---- channels ---- */

static void test_all_parameters_of_a_channel(void)
{
    const struct config_channel *c = config.channel;

    GOOD("channel=['connection=pty, name=org.my.channel',"
         "'path=/run/x.sock,backend=drv,name=two words,connection=socket']");
    CU_ASSERT_EQUAL(config.nr_channels, 2);
    CU_ASSERT_TRUE(c[0].connection == CONFIG_PTY && c[0].path[0] == '\0');
    CU_ASSERT_STRING_EQUAL(c[0].name, "org.my.channel");
    CU_ASSERT_STRING_EQUAL(c[0].backend, "");
    CU_ASSERT_EQUAL(c[1].connection, CONFIG_SOCKET);
    CU_ASSERT_STRING_EQUAL(c[1].name, "two words");
    CU_ASSERT_STRING_EQUAL(c[1].path, "/run/x.sock");
    CU_ASSERT_STRING_EQUAL(c[1].backend, "drv");
    CU_ASSERT_TRUE(repeats());
    GOOD("channel=[]");
    CU_ASSERT_EQUAL(config.nr_channels, 0);
}

static void bad_channel(const char *text, const char *what)
{
    char line[2048], wanted[512];

    snprintf(line, sizeof(line), "channel=[\"%s\"]", text);
    snprintf(wanted, sizeof(wanted), "error f:2: channel: %s\n", what);
    BAD(line, wanted);
}

static void test_mistakes_in_channels(void)
{
    char text[2048], *at;

    BAD("channel='connection=pty,name=x'",
        "error f:2: channel: 'connection=pty,name=x' is no list\n");
    bad_channel("", "a channel has no connection");
    bad_channel("name=x", "a channel has no connection");
    bad_channel("connection=pty", "a channel has no name");
    bad_channel("connection=pty,name=", "a channel has no name");
    bad_channel("connection=PTY,name=x", "'PTY' is none of pty, socket");
    bad_channel("connection=unknown,name=x", "'unknown' is none of pty, socket");
    bad_channel("connection=socket,name=x", "a channel's socket has no absolute path");
    bad_channel("connection=socket,name=x,path=y", "a channel's socket has no absolute path");
    bad_channel("connection=pty,name=x,path=/y", "a channel that is no socket has a path");
    bad_channel("connection=pty,name=x,name=y", "'name' is given twice");
    bad_channel("connection=pty,name=x,devid=1", "'devid=1' is no parameter of a channel");
    bad_channel("connection,name=x", "'connection' is no parameter of a channel");
    for (unsigned int n = CONFIG_SOCKET_PATH - 1; n <= CONFIG_SOCKET_PATH; n++) {
        sprintf(text, "channel=['connection=socket,name=x,path=/%0*d']", (int)n - 1, 0);
        CU_ASSERT_EQUAL(parse(text), n < CONFIG_SOCKET_PATH ? 0 : -EINVAL);
    }
    at = text + sprintf(text, "channel=[");
    for (unsigned int i = 0; i < CONFIG_DEVICES; i++)
        at += sprintf(at, "'connection=pty,name=c%u',", i);
    strcpy(at, "]");
    GOOD(text);
    CU_ASSERT_TRUE(config.nr_channels == CONFIG_DEVICES && repeats());
    at = text + sprintf(text, "channel=[");
    for (unsigned int i = 0; i < CONFIG_DEVICES; i++)
        at += sprintf(at, "'connection=pty,name=c%u',", i);
    strcpy(at, "'name=x']");
    BAD(text, "error f:2: channel: 'name=x' is one channel too many\n");
}

/* ---- as JSON ---- */

static void test_the_json_of_a_configuration(void)
{
    static const char wanted[] = "{\n"
                                 "    \"c_info\": {\n"
                                 "        \"type\": \"pv\",\n"
                                 "        \"name\": \"a\",\n"
                                 "        \"uuid\": \"01234567-89ab-cdef-1032-547698badcfe\",\n"
                                 "        \"pool_name\": \"Pool-0\",\n"
                                 "        \"passthrough\": \"disabled\"\n"
                                 "    },\n"
                                 "    \"b_info\": {\n"
                                 "        \"max_vcpus\": 2,\n"
                                 "        \"avail_vcpus\": [\n"
                                 "            0\n"
                                 "        ],\n"
                                 "        \"vcpu_hard_affinity\": [\n"
                                 "            [\n"
                                 "                1,\n"
                                 "                3\n"
                                 "            ]\n"
                                 "        ],\n"
                                 "        \"max_memkb\": 65536,\n"
                                 "        \"target_memkb\": 32768,\n"
                                 "        \"sched_params\": {\n"
                                 "            \"weight\": 512,\n"
                                 "            \"cap\": 50\n"
                                 "        },\n"
                                 "        \"tsc_mode\": \"native\",\n"
                                 "        \"kernel\": \"k\",\n"
                                 "        \"cmdline\": \"root=/dev/xvda\",\n"
                                 "        \"type.pv\": {},\n"
                                 "        \"arch_x86\": {\n"
                                 "            \"msr_relaxed\": \"False\"\n"
                                 "        }\n"
                                 "    },\n"
                                 "    \"disks\": [\n"
                                 "        {\n"
                                 "            \"pdev_path\": \"/dev/x\",\n"
                                 "            \"vdev\": \"xvda\",\n"
                                 "            \"format\": \"raw\",\n"
                                 "            \"removable\": 0,\n"
                                 "            \"readwrite\": 1,\n"
                                 "            \"is_cdrom\": 0,\n"
                                 "            \"direct_io_safe\": \"False\",\n"
                                 "            \"discard_enable\": \"True\",\n"
                                 "            \"trusted\": \"True\"\n"
                                 "        }\n"
                                 "    ],\n"
                                 "    \"nics\": [\n"
                                 "        {\n"
                                 "            \"devid\": 0,\n"
                                 "            \"mac\": \"00:16:3e:00:00:01\",\n"
                                 "            \"nictype\": \"vif\",\n"
                                 "            \"trusted\": \"True\"\n"
                                 "        }\n"
                                 "    ],\n"
                                 "    \"channels\": [\n"
                                 "        {\n"
                                 "            \"devid\": 0,\n"
                                 "            \"name\": \"org.a\",\n"
                                 "            \"connection.pty\": {}\n"
                                 "        },\n"
                                 "        {\n"
                                 "            \"devid\": 1,\n"
                                 "            \"name\": \"b\",\n"
                                 "            \"connection.socket\": {\n"
                                 "                \"path\": \"/b\"\n"
                                 "            }\n"
                                 "        }\n"
                                 "    ],\n"
                                 "    \"on_poweroff\": \"destroy\",\n"
                                 "    \"on_reboot\": \"restart\",\n"
                                 "    \"on_watchdog\": \"destroy\",\n"
                                 "    \"on_crash\": \"preserve\"\n"
                                 "}\n";
    struct text text = { 0 };
    struct json j = { .out = &text };

    GOOD(
        "maxvcpus=2; cpus=['1,3']; maxmem=64; cpu_weight=512; cap=50; tsc_mode='native'; root='/dev/xvda'; pool='Pool-0'; "
        "disk=['/dev/x,,xvda']; vif=['mac=00:16:3e:00:00:01']; "
        "channel=['connection=pty,name=org.a','connection=socket,path=/b,name=b']; on_crash='preserve'; "
        "uuid='01234567-89ab-cdef-1032-547698badcfe'");
    config_json(&j, NULL, &config);
    CU_ASSERT_STRING_EQUAL(text.bytes, wanted);
    CU_ASSERT_FALSE(text.failed);
    text_free(&text);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("config_devices", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_the_manuals_equal_disks_are_equal);
    T(test_all_parameters_of_a_disk);
    T(test_old_prefixes);
    T(test_mistakes_in_disks);
    T(test_there_are_sixteen_disks_and_vifs);
    T(test_all_parameters_of_a_vif);
    T(test_rates);
    T(test_mistakes_in_vifs);
    T(test_all_parameters_of_a_channel);
    T(test_mistakes_in_channels);
    T(test_the_json_of_a_configuration);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
