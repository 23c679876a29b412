"""Reports on switches, test calls, and who may see channels and place such calls."""

from django.db import migrations, models


ORDERS = {
    "see_channels": ("switchreport", "Can see the channels of a switch"),
    "place_test_call": ("trialcall", "Can place test calls"),
}


def grant(apps, schema_editor):
    """By name: Django makes the permissions themselves only after the migrations."""
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    groups = [apps.get_model("auth", "Group").objects.get_or_create(name=name)[0] for name in ("ops", "admins")]
    for codename, (model, name) in ORDERS.items():
        content_type, _ = ContentType.objects.get_or_create(app_label="console", model=model)
        permission, _ = Permission.objects.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        for group in groups:
            group.permissions.add(permission)


class Migration(migrations.Migration):

    dependencies = [
        ('console', '0004_incident_times'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.CreateModel(
            name='SwitchReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('place', models.CharField(help_text='Its address then: a switch that was moved is another one.', max_length=300)),
                ('state', models.CharField(choices=[('reachable', 'Reachable'), ('unreachable', 'Unreachable'), ('unknown', 'Unknown')], max_length=16)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('since', models.DateTimeField()),
                ('looked_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField(blank=True, null=True)),
                ('version', models.CharField(blank=True, max_length=100)),
                ('is_ready', models.BooleanField(default=False)),
                ('sessions', models.PositiveIntegerField(default=0)),
                ('sessions_peak', models.PositiveIntegerField(default=0)),
                ('sessions_most', models.PositiveIntegerField(default=0)),
                ('sessions_per_s_most', models.PositiveIntegerField(default=0)),
                ('uptime_s', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'permissions': [('see_channels', 'Can see the channels of a switch')],
            },
        ),
        migrations.CreateModel(
            name='TrialCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('switch', models.CharField(max_length=64)),
                ('endpoint', models.CharField(max_length=256)),
                ('user', models.CharField(max_length=150)),
                ('state', models.CharField(choices=[('asked', 'Asked'), ('calling', 'Calling'), ('answered', 'Answered'), ('failed', 'Failed')], default='asked', max_length=16)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('call_uuid', models.CharField(blank=True, db_index=True, max_length=64)),
                ('asked_at', models.DateTimeField(db_index=True)),
                ('called_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'permissions': [('place_test_call', 'Can place test calls')],
            },
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
